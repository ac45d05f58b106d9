//! A connection's stream, watched: who does not take his answer is noted, and cut off after a while.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use crate::seats::{Phase, Seat};

/// A stream whose writes end with an error when nothing of them is taken for a time.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    seat: Arc<Seat>,
    patience: Duration,
    /// Since a write waits: when it is given up, and what the connection did before.
    waiting: Option<(Pin<Box<Sleep>>, Phase)>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, seat: Arc<Seat>, patience: Duration) -> Self {
        Self { stream, seat, patience, waiting: None }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            if let Some((_, before)) = self.waiting.take() {
                self.seat.pass(Phase::Stalled, before);
            }
            return result;
        }
        let (seat, patience) = (&self.seat, self.patience);
        let (until, _) =
            self.waiting.get_or_insert_with(|| (Box::pin(sleep(patience)), seat.set(Phase::Stalled)));
        match until.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;
    use crate::seats::Seats;

    #[tokio::test]
    async fn who_does_not_read_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let seat = Arc::new(Seats::new(1).take().await);
        seat.set(Phase::Working);
        let mut wire = Wire::new(stream, Arc::clone(&seat), Duration::from_millis(20));
        // More than the system takes for a client that does not read.
        let error = wire.write_all(&vec![0; 64 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(seat.set(Phase::Working), Phase::Stalled);
        drop(client);
    }
}
