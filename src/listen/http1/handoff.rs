//! Hands a streaming HTTP/1.1 response from hyper to a task of its own.
//!
//! hyper parses the request and writes the response head and the first chunk. Then the connection is taken from hyper,
//! its buffers are freed, and a small task writes the rest. The service claims the connection with the [`Handoff`] of
//! the request. [`HandoffIo`] watches hyper's output for the end of the first chunk:
//!
//! ```text
//! HTTP/1.1 200 OK CR LF … CR LF CR LF     the head
//! SIZE CR LF  prelude… LF  CR LF          the first chunk; the prelude ends in a bare LF
//!                      └──────── x LF CR LF, with x not CR, ends the handed-off part
//! ```
//!
//! hyper writes no other such sequence: heads end in `CR LF CR LF`, and a finite body ends its chunks with `CR LF`
//! after a byte other than LF. The service guarantees the bare LF; see [`Handoff::claim`]. For a body whose chunks
//! could match, it calls [`Handoff::disable`].

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
use crate::runtime::turn::TurnBudget;

/// Continues a connection after the handoff.
///
/// Receives the connection, the bytes that hyper wrote and the socket has not taken, and the spawner of the writing
/// task.
pub type HandoffFn = Box<dyn FnOnce(Transport, Vec<u8>, ConnectionTask) + Send>;

/// Lets a service take over the connection after the first chunk of its response. Cheap to clone.
#[derive(Clone, Default)]
pub struct Handoff(Arc<State>);

#[derive(Default)]
struct State {
    is_disabled: AtomicBool,
    is_reading_paused: AtomicBool,
    phase: AtomicU8,
    continuation: Mutex<Option<HandoffFn>>,
}

/// hyper keeps the connection.
const UNCLAIMED: u8 = 0;
/// A service has claimed the connection. hyper has not written the first chunk yet.
const CLAIMED: u8 = 1;
/// hyper has written the first chunk.
const READY: u8 = 2;

impl Handoff {
    /// Claims the connection for `continuation`. The response body must be one chunk that ends with a bare line feed,
    /// and then stay pending forever.
    pub fn claim(&self, continuation: HandoffFn) {
        *self.0.continuation.lock() = Some(continuation);
        self.0.phase.store(CLAIMED, Ordering::Release);
    }

    /// Rules out a handoff for the rest of the connection. A body has used it whose chunks end like a first chunk, and
    /// hyper may still hold bytes of it.
    pub fn disable(&self) {
        self.0.is_disabled.store(true, Ordering::Release);
    }

    /// Stops reading until the current request is answered, or allows it. Call it before the request is first polled.
    ///
    /// A client that waits for a finite response may have closed its sending side, as `nc` and shells do. hyper would
    /// take that for a disconnect.
    pub fn set_reading_paused(&self, is_reading_paused: bool) {
        self.0.is_reading_paused.store(is_reading_paused, Ordering::Relaxed);
    }

    /// Returns true if the connection can be claimed.
    pub fn is_available(&self) -> bool {
        !self.0.is_disabled.load(Ordering::Acquire)
    }

    /// Returns the continuation once the first chunk is written.
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

/// The connection as hyper sees it before a handoff.
pub(in crate::listen) struct HandoffIo {
    io: TokioIo<Transport>,
    handoff: Handoff,
    timeouts: Arc<ConnectionTimeouts>,
    turn: Arc<Mutex<TurnBudget>>,
    /// Bytes that the socket did not take after the claim. They are handed over with the connection.
    unsent: Vec<u8>,
    /// The last bytes that hyper wrote after the claim.
    last_bytes: [u8; 4],
}

/// Most bytes that are buffered for hyper. A head and a first chunk are far smaller.
const UNSENT_BYTES: usize = 32 * 1024;

impl HandoffIo {
    /// Wraps a connection. A wait for the client begins a new `turn` of its requests.
    pub(in crate::listen) fn new(
        transport: Transport,
        handoff: Handoff,
        timeouts: Arc<ConnectionTimeouts>,
        turn: Arc<Mutex<TurnBudget>>,
    ) -> Self {
        Self { io: TokioIo::new(transport), handoff, timeouts, turn, unsent: Vec::new(), last_bytes: [0; 4] }
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
        // No waker is needed: hyper polls again by itself after it has answered.
        if self.handoff.0.is_reading_paused.load(Ordering::Relaxed) && self.timeouts.has_open_request() {
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
            match Pin::new(&mut self.io).poll_write(cx, bytes) {
                Poll::Ready(Ok(count)) => {
                    self.observe(&bytes[..count]);
                    return Poll::Ready(Ok(count));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                // Without a claim hyper's own back-pressure applies.
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
