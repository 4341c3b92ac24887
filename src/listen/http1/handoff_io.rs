//! The connection as hyper sees it before a handoff.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

use super::handoff::Handoff;
use super::scanned_transport::ScannedTransport;
use crate::listen::timeouts::ConnectionTimeouts;
use crate::listen::transport::Transport;
use crate::runtime::turn::TurnBudget;

/// Passes bytes between a connection and hyper. Reports reads to the timeouts, and writes to the [`Handoff`].
pub(super) struct HandoffIo {
    io: TokioIo<ScannedTransport>,
    handoff: Handoff,
    timeouts: Arc<ConnectionTimeouts>,
    turn: Arc<Mutex<TurnBudget>>,
    /// Bytes that the socket did not take after the claim. They are handed over with the connection.
    unsent: Vec<u8>,
    max_unsent: usize,
}

/// Most bytes of a head and a first chunk, which are far smaller.
const UNSENT_BYTES: usize = 32 * 1024;

impl HandoffIo {
    /// Wraps a connection. A wait for the client begins a new `turn` of its requests. `max_buf_size` is hyper's: it may
    /// hold so many bytes of earlier responses when the connection is claimed.
    pub(super) fn new(
        transport: Transport,
        max_buf_size: usize,
        handoff: Handoff,
        timeouts: Arc<ConnectionTimeouts>,
        turn: Arc<Mutex<TurnBudget>>,
    ) -> Self {
        Self {
            io: TokioIo::new(ScannedTransport { transport, handoff: handoff.clone(), is_head_expected: true }),
            handoff,
            timeouts,
            turn,
            unsent: Vec::new(),
            max_unsent: max_buf_size + UNSENT_BYTES,
        }
    }

    /// Returns the connection, and the bytes that the socket did not take.
    pub(super) fn into_parts(self) -> (Transport, Vec<u8>) {
        (self.io.into_inner().transport, self.unsent)
    }
}

impl Read for HandoffIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        // No waker is needed: hyper polls again by itself after it has answered.
        let has_open_request = self.timeouts.has_open_request();
        if self.handoff.is_reading_paused() && has_open_request {
            return Poll::Pending;
        }
        self.io.inner_mut().is_head_expected = !has_open_request;
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        match read {
            Poll::Ready(_) => self.timeouts.on_read(),
            Poll::Pending => self.turn.lock().reset(),
        }
        read
    }
}

impl Write for HandoffIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.unsent.is_empty() {
            let written = Pin::new(&mut self.io).poll_write(cx, bytes);
            if let Poll::Ready(Ok(count)) = written {
                self.handoff.on_written(&bytes[..count]);
            }
            // Without a claim hyper's own back-pressure applies.
            if written.is_ready() || !self.handoff.is_claimed() {
                return written;
            }
        }
        let count = bytes.len().min(self.max_unsent - self.unsent.len());
        if count == 0 && !bytes.is_empty() {
            // Nobody would wake hyper again, and no timeout applies before the handoff.
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unsent.extend_from_slice(&bytes[..count]);
        self.handoff.on_written(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unsent.is_empty() {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::Bytes;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::default_limits;
    use crate::listen::http1::Prelude;

    const MAX_BUF_SIZE: usize = 64 * 1024;

    /// Returns a connection whose client reads nothing, and that client. Its socket takes no more bytes.
    async fn stalled(handoff: &Handoff) -> (HandoffIo, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a listener");
        let (tcp, _) = listener.accept().await.expect("a client");
        let timeouts = Arc::new(ConnectionTimeouts::for_http1(&default_limits()));
        let transport = Transport::Plain { tcp, read_ahead: Bytes::new() };
        let mut io = HandoffIo::new(transport, MAX_BUF_SIZE, handoff.clone(), timeouts, Arc::default());
        while poll_fn(|cx| Poll::Ready(Pin::new(&mut io).poll_write(cx, &[b'x'; 4096]).is_ready())).await {}
        (io, client)
    }

    #[tokio::test]
    async fn a_claimed_connection_takes_all_that_hyper_may_hold_and_fails_beyond_it() {
        let handoff = Handoff::default();
        let (mut io, _client) = stalled(&handoff).await;
        let prelude = Prelude::new(Bytes::from_static(b":a\n")).expect("a bare line feed");
        let _body = handoff.claim(prelude, |_, _, _| ());
        let mut write = async |bytes: &[u8]| poll_fn(|cx| Poll::Ready(Pin::new(&mut io).poll_write(cx, bytes))).await;

        for _ in 0..MAX_BUF_SIZE / 1024 {
            assert!(matches!(write(&[b'x'; 1024]).await, Poll::Ready(Ok(1024))), "earlier responses");
        }
        assert!(matches!(write(b"3\r\n:a\n\r\n").await, Poll::Ready(Ok(8))));
        assert!(handoff.take_ready().is_some(), "the prelude ends the part of hyper");

        let _body = handoff.claim(Prelude::new(Bytes::from_static(b":a\n")).expect("the same"), |_, _, _| ());
        let endless = [b'x'; 2 * UNSENT_BYTES];
        assert!(matches!(write(&endless).await, Poll::Ready(Ok(count)) if count == UNSENT_BYTES - 8));
        let beyond = write(&endless).await.map_err(|error| error.kind());
        assert!(matches!(beyond, Poll::Ready(Err(io::ErrorKind::WriteZero))), "no wait without a timeout");
    }
}
