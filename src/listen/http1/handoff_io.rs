//! The connection as hyper sees it before a handoff.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

use super::handoff::Handoff;
use crate::listen::timeouts::ConnectionTimeouts;
use crate::listen::transport::Transport;
use crate::runtime::turn::TurnBudget;

/// Passes bytes between a connection and hyper. Reports reads to the timeouts, and writes to the [`Handoff`].
pub(super) struct HandoffIo {
    io: TokioIo<Transport>,
    handoff: Handoff,
    timeouts: Arc<ConnectionTimeouts>,
    turn: Arc<Mutex<TurnBudget>>,
    /// Bytes that the socket did not take after the claim. They are handed over with the connection.
    unsent: Vec<u8>,
}

/// Most bytes that are buffered for hyper. A head and a first chunk are far smaller.
const UNSENT_BYTES: usize = 32 * 1024;

impl HandoffIo {
    /// Wraps a connection. A wait for the client begins a new `turn` of its requests.
    pub(super) fn new(
        transport: Transport,
        handoff: Handoff,
        timeouts: Arc<ConnectionTimeouts>,
        turn: Arc<Mutex<TurnBudget>>,
    ) -> Self {
        Self { io: TokioIo::new(transport), handoff, timeouts, turn, unsent: Vec::new() }
    }

    /// Returns the connection, and the bytes that the socket did not take.
    pub(super) fn into_parts(self) -> (Transport, Vec<u8>) {
        (self.io.into_inner(), self.unsent)
    }
}

impl Read for HandoffIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        // No waker is needed: hyper polls again by itself after it has answered.
        if self.handoff.is_reading_paused() && self.timeouts.has_open_request() {
            return Poll::Pending;
        }
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
        let count = bytes.len().min(UNSENT_BYTES - self.unsent.len());
        if count == 0 {
            return Poll::Pending;
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
