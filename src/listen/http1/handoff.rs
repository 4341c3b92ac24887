//! How a streaming response leaves hyper on HTTP/1.1.
//!
//! hyper parses the request and writes head and first chunk; then the connection is taken from it, its buffers are freed,
//! and a small task of its own writes the rest. A service claims a connection through the [`Handoff`] in the request's
//! extensions; [`HandoffIo`] watches hyper's output for the end of the first chunk.
//!
//! The first chunk must end with a line feed that no carriage return precedes: `x LF CR LF` then ends the response so far
//! and nothing else that hyper writes does, neither a head (`CR LF CR LF`) nor one of our other bodies.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

use crate::listen::connection_task::ConnectionTask;
use crate::listen::timeouts::ConnectionTimeouts;
use crate::listen::transport::Transport;

/// What becomes of a connection that has been taken over: gets the connection, what could not be written yet, and what
/// starts the task that writes.
pub type HandoffFn = Box<dyn FnOnce(Transport, Vec<u8>, ConnectionTask) + Send>;

/// Lets a service take the connection after the first chunk of its response. Cheap to clone.
#[derive(Clone, Default)]
pub struct Handoff(Arc<State>);

#[derive(Default)]
struct State {
    is_disabled: AtomicBool,
    is_reading_paused: AtomicBool,
    phase: AtomicU8,
    continuation: Mutex<Option<HandoffFn>>,
}

/// hyper writes as always.
const UNCLAIMED: u8 = 0;
/// A service has claimed the connection; the first chunk is on its way.
const CLAIMED: u8 = 1;
/// The first chunk is out of hyper.
const READY: u8 = 2;

impl Handoff {
    /// Claims the connection for `continuation`. The response must then have a body of one chunk that ends with a line feed and
    /// never ends by itself.
    pub fn claim(&self, continuation: HandoffFn) {
        *self.0.continuation.lock() = Some(continuation);
        self.0.phase.store(CLAIMED, Ordering::Release);
    }

    /// Gives up taking this connection over: it has carried a body whose chunks end like a first chunk, and what hyper
    /// still has of it could be taken for that.
    pub fn disable(&self) {
        self.0.is_disabled.store(true, Ordering::Release);
    }

    /// Says whether nothing is to be read until the request that has just come is answered: a client that waits for a
    /// finite response may have closed its side, as `nc` and shells do, and hyper takes that for leaving. To be said before
    /// the request is first polled.
    pub fn set_reading_paused(&self, is_reading_paused: bool) {
        self.0.is_reading_paused.store(is_reading_paused, Ordering::Relaxed);
    }

    /// Whether the connection can be claimed.
    pub fn is_available(&self) -> bool {
        !self.0.is_disabled.load(Ordering::Acquire)
    }

    /// The writer, once the first chunk is out.
    pub(in crate::listen) fn take_ready(&self) -> Option<HandoffFn> {
        if self.0.phase.load(Ordering::Acquire) != READY {
            return None;
        }
        self.0.continuation.lock().take()
    }

    fn phase(&self) -> u8 {
        self.0.phase.load(Ordering::Acquire)
    }
}

/// hyper's view of a connection that may be taken over.
pub(in crate::listen) struct HandoffIo {
    io: TokioIo<Transport>,
    handoff: Handoff,
    timeouts: Arc<ConnectionTimeouts>,
    /// What the socket refused after the claim; handed over with the connection.
    unsent: Vec<u8>,
    /// The last bytes hyper wrote since the claim.
    last_bytes: [u8; 4],
}

/// Most that is held for hyper: a head and a first chunk are far smaller.
const UNSENT_BYTES: usize = 32 * 1024;

impl HandoffIo {
    pub(in crate::listen) fn new(transport: Transport, handoff: Handoff, timeouts: Arc<ConnectionTimeouts>) -> Self {
        Self { io: TokioIo::new(transport), handoff, timeouts, unsent: Vec::new(), last_bytes: [0; 4] }
    }

    pub(in crate::listen) fn into_parts(self) -> (Transport, Vec<u8>) {
        (self.io.into_inner(), self.unsent)
    }

    fn observe(&mut self, written: &[u8]) {
        if self.handoff.phase() != CLAIMED {
            return;
        }
        for &byte in &written[written.len().saturating_sub(4)..] {
            self.last_bytes.rotate_left(1);
            self.last_bytes[3] = byte;
        }
        if self.last_bytes[0] != b'\r' && self.last_bytes[1..] == *b"\n\r\n" {
            self.handoff.0.phase.store(READY, Ordering::Release);
        }
    }
}

impl Read for HandoffIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        // Nobody is to be woken: hyper asks again by itself once it has answered.
        if self.handoff.0.is_reading_paused.load(Ordering::Relaxed) && self.timeouts.has_open_request() {
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if read.is_ready() {
            self.timeouts.on_read();
        }
        read
    }
}

impl Write for HandoffIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.unsent.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, bytes) {
                Poll::Ready(Ok(count)) => {
                    self.observe(&bytes[..count]);
                    return Poll::Ready(Ok(count));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                // Before a claim hyper's own back-pressure applies.
                Poll::Pending if self.handoff.phase() == UNCLAIMED => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        let count = bytes.len().min(UNSENT_BYTES - self.unsent.len());
        if count == 0 {
            return Poll::Pending;
        }
        self.unsent.extend_from_slice(&bytes[..count]);
        self.observe(&bytes[..count]);
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
