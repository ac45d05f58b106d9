//! Where requests are worked on. Connections are served by threads of their own, which only read heads, refuse, and
//! write answers: whoever asks whether the service lives, or is told to come again, waits for nobody's computation.

use std::pin::pin;

use axum::{body::Body, response::Response};
use futures_util::stream;
use http_body::Body as _;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::{runtime::Handle, sync::mpsc, task::JoinError};
use tokio_util::task::AbortOnDropHandle;

use crate::trace;

/// The runtime that works on requests: the one with the store's connections.
#[derive(Debug, Clone)]
pub(crate) struct Work(Handle);

impl Work {
    /// The runtime of the caller.
    pub(crate) fn here() -> Self {
        Self(Handle::current())
    }

    /// Runs something there, in the span and the trace of the caller. It is aborted when nobody waits for it any more;
    /// a panic goes on in the caller. An error means that the runtime is gone.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let task = AbortOnDropHandle::new(trace::spawn_on(&self.0, work));
        task.await.or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(error),
        })
    }
}

/// Lets a body that is made while it is sent be made by the runtime of the caller, whoever sends it.
pub(crate) fn made_here(response: Response) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        let (sender, mut receiver) = mpsc::channel(1);
        trace::spawn(async move {
            let mut body = pin!(body);
            loop {
                let frame = tokio::select! {
                    biased;
                    () = sender.closed() => return,
                    frame = body.frame() => frame,
                };
                let Some(frame) = frame else { return };
                if sender.send(frame).await.is_err() {
                    return;
                }
            }
        });
        Body::new(StreamBody::new(stream::poll_fn(move |context| receiver.poll_recv(context))))
    })
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use bytes::Bytes;
    use futures_util::StreamExt as _;

    use super::*;

    /// Another runtime, as connections have one.
    fn elsewhere<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
        let run =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        std::thread::spawn(run).join().unwrap()
    }

    async fn off<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
        tokio::task::spawn_blocking(|| elsewhere(work)).await.unwrap()
    }

    #[tokio::test]
    async fn work_is_done_where_it_belongs_and_gives_its_panics_back() {
        let (work, home) = (Work::here(), Handle::current().id());
        assert_eq!(off(async move { work.run(async { Handle::current().id() }).await.unwrap() }).await, home);
        let work = Work::here();
        let panicked = tokio::spawn(async move { work.run(async { panic!("oh") }).await }).await;
        assert!(panicked.unwrap_err().is_panic());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_aborted() {
        struct Gone(Arc<AtomicBool>);
        impl Drop for Gone {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        let gone = Arc::new(AtomicBool::new(false));
        let (work, held) = (Work::here(), Gone(Arc::clone(&gone)));
        let endless = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        let waited = tokio::time::timeout(Duration::from_millis(5), work.run(endless)).await;
        assert!(waited.is_err());
        while !gone.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_stream_is_made_here_and_ends_with_its_reader() {
        let home = Handle::current().id();
        let made = stream::iter(0..3).map(move |number| {
            let here = Handle::current().id() == home;
            Ok::<_, std::io::Error>(Bytes::from(format!("{number} {here} ")))
        });
        let response = made_here(Response::new(Body::from_stream(made)));
        let bytes = off(async { response.into_body().collect().await.unwrap().to_bytes() }).await;
        assert_eq!(bytes, "0 true 1 true 2 true ");

        let alive = Arc::new(());
        let kept = Arc::clone(&alive);
        let endless = stream::poll_fn(move |_| {
            let _ = &kept;
            std::task::Poll::<Option<Result<Bytes, std::io::Error>>>::Pending
        });
        drop(made_here(Response::new(Body::from_stream(endless))));
        while Arc::strong_count(&alive) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
