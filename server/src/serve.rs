//! The accept loop. `axum::serve` has no time limit on request heads, and half a head would hold up shutdown.

use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, response::Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{
    config::Limits,
    metrics,
    seats::{self, Phase, Seat, Seats},
    wire::Wire,
};

/// Largest request head in bytes; also what is read of a body at a time.
const HEAD_BYTES: usize = 128 << 10;
/// Most headers of a request; with more it is refused with 431.
const HEADERS: usize = 100;
/// After a stop signal, how long a connection without a request may stay: enough for a head that is on its way.
const IDLE_GRACE: Duration = Duration::from_millis(200);

/// So many cores share a thread that serves connections: reading a head and writing an answer takes far less than what
/// is done in between.
const CORES_PER_THREAD: usize = 4;

/// The priority of those threads among all of the machine, where it is allowed: of -20 to 19, less is more.
#[cfg(target_os = "linux")]
const NICE: i32 = -10;

/// Does what [`serve`] does by a runtime of its own, whose threads do nothing else: connections wait for no computation.
/// How it ended comes through the channel.
pub fn apart(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) -> oneshot::Receiver<io::Result<()>> {
    let (ended, wait) = oneshot::channel();
    let run = move || {
        let threads =
            std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(CORES_PER_THREAD));
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name("http").on_thread_start(go_first).enable_all();
        let runtime = builder.build()?;
        let listener = listener.into_std()?;
        let served = async move { serve(TcpListener::from_std(listener)?, router, &limits, stop).await };
        runtime.block_on(runtime.spawn(served)).map_err(io::Error::other)?
    };
    let thread = std::thread::Builder::new().name("http".to_owned()).spawn(move || {
        // Nobody waits for it once the process ends.
        let _ = ended.send(run());
    });
    if let Err(error) = thread {
        tracing::error!(%error, "cannot start a thread for connections");
    }
    wait
}

/// Puts the calling thread before those that compute, where the system allows it: to root, `CAP_SYS_NICE` or a limit on
/// `nice`. Without, it takes its turn among them, and a probe of a busy machine waits some milliseconds longer.
fn go_first() {
    // Elsewhere the priority is that of the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "connections are served at the priority of everything else");
    }
}

/// Serves until `stop` is cancelled, then lets running requests finish for `limits.shutdown_timeout` at most.
///
/// HTTP/1.1 only: HTTP/2 and TLS are a proxy's business.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    let seats = Seats::new(seats::most(limits.connections));
    let tracker = TaskTracker::new();
    let abort = CancellationToken::new();
    let times = Times { head: limits.header_timeout.0, write: limits.body_timeout.0 };
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Usually too many open files: waiting lets others close, ending would help nobody.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let seat = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            seat = seats.take() => Arc::new(seat),
        };
        let router = router.clone();
        let (stop, abort) = (stop.clone(), abort.clone());
        tracker.spawn(async move {
            let connection = connection(stream, ConnectInfo(peer), router, times, stop, &seat);
            tokio::select! {
                () = connection => {}
                () = abort.cancelled() => {}
                () = seat.put_out.cancelled() => {
                    metrics::put_out();
                    tracing::debug!(%peer, "put out to make room for another connection");
                }
            }
        });
    }
    drop(listener);
    tracker.close();
    tracing::info!(connections = tracker.len(), "stopping");
    if tokio::time::timeout(limits.shutdown_timeout.0, tracker.wait()).await.is_err() {
        tracing::warn!(
            connections = tracker.len(),
            "requests were still running at the deadline and are dropped"
        );
        abort.cancel();
        tracker.wait().await;
    }
    Ok(())
}

/// What a connection may take its time for.
#[derive(Debug, Clone, Copy)]
struct Times {
    head: Duration,
    write: Duration,
}

async fn connection(
    stream: TcpStream,
    peer: ConnectInfo<std::net::SocketAddr>,
    router: Router,
    times: Times,
    stop: CancellationToken,
    seat: &Arc<Seat>,
) {
    // Responses are small and written whole: waiting for more (Nagle) only delays them.
    let _ = stream.set_nodelay(true);
    let busy = Arc::new(AtomicUsize::new(0));
    let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
        let running = Running::new(&busy, seat);
        let complete = http_body::Body::is_end_stream(request.body());
        seat.set(if complete { Phase::Working } else { Phase::Sending });
        let mut request = request.map(|body| Body::new(Arriving { body, seat: Arc::clone(seat) }));
        request.extensions_mut().insert(peer);
        let response = router.clone().oneshot(request);
        async move {
            let response = response.await?;
            // The response counts as running until its body is written or dropped.
            Ok::<Response, Infallible>(response.map(|body| Body::new(Held { body, _running: running })))
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(times.head);
    builder.max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    let stream = Wire::new(stream, Arc::clone(seat), times.write);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));

    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
    };
    if let Some(ended) = ended {
        if let Err(error) = ended {
            tracing::debug!(%error, peer = %peer.0, "connection ended early");
        }
        return;
    }
    connection.as_mut().graceful_shutdown();
    loop {
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = tokio::time::sleep(IDLE_GRACE) => {
                if busy.load(Ordering::Acquire) == 0 {
                    return;
                }
            }
        }
    }
}

/// Counts one request of a connection while it lives.
struct Running {
    busy: Arc<AtomicUsize>,
    seat: Arc<Seat>,
}

impl Running {
    fn new(busy: &Arc<AtomicUsize>, seat: &Arc<Seat>) -> Self {
        busy.fetch_add(1, Ordering::AcqRel);
        Self { busy: Arc::clone(busy), seat: Arc::clone(seat) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.busy.fetch_sub(1, Ordering::AcqRel);
        self.seat.set(Phase::Idle);
    }
}

/// A request's body that notes when it is there, or nobody wants the rest of it.
struct Arriving {
    body: Incoming,
    seat: Arc<Seat>,
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.seat.pass(Phase::Sending, Phase::Working);
    }
}

impl http_body::Body for Arriving {
    type Data = bytes::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let frame = std::pin::Pin::new(&mut self.body).poll_frame(context);
        if frame.is_ready() && self.body.is_end_stream() {
            self.seat.pass(Phase::Sending, Phase::Working);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// A body that keeps its request counted.
struct Held {
    body: Body,
    _running: Running,
}

impl http_body::Body for Held {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// Ends at Ctrl-C or SIGTERM.
pub async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(terminate) => terminate,
            Err(error) => {
                tracing::warn!(%error, "SIGTERM cannot be watched; only Ctrl-C stops gracefully");
                let _ = interrupt.await;
                return;
            }
        };
        tokio::select! {
            _ = interrupt => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = interrupt.await;
}
