//! Sends the body of a response to its HTTP/2 stream, as fast as the client's windows allow.
//!
//! A chunk that fits into both windows (RFC 9113, 5.2) goes to h2 at once. Any other waits here until h2 has capacity for it.
//! Meanwhile the body's deadline is polled, and a response that waited too long is reset alone (RFC 9113, 5.4.2).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use tokio::time::Instant;

use super::send_window::SendWindow;
use super::stream_end::StreamEnd;
use crate::listen::service::ResponseBody;
use crate::runtime::memory::{MemoryCharge, MemoryKind, MemoryLedger};

/// The body of a response, and the stream that it is sent to. The fields that each event touches come first in memory.
#[repr(C)]
pub(super) struct BodySender<B> {
    stream: SendStream<Bytes>,
    /// Bytes that h2 is known to take for this stream: its window and its send buffer have room for them.
    room: usize,
    /// True if h2 was given the waker, and nothing has been asked of it since for which it would fire.
    has_waker: bool,
    /// True once the body has failed. The stream is reset at the next poll.
    has_failed: bool,
    /// The end if the whole response is sent.
    complete: StreamEnd,
    body: B,
    /// Waits for capacity.
    chunk: Option<Bytes>,
    /// Set while the client takes nothing.
    stall: Option<Box<Stall>>,
}

/// Most bytes that are sent before h2 is asked for room again: some dozens of events.
const MEASURED_ROOM: usize = 16 * 1024;

/// A chunk that waits for the client.
struct Stall {
    /// The end of the client's time. The connection has the timer.
    until: Instant,
    /// The chunk's memory, unless it shares that with the event log.
    _charge: MemoryCharge,
}

impl<B: ResponseBody> BodySender<B> {
    /// Creates the sender of a body. The stream ends as `complete` says if the whole body is sent.
    pub(super) fn new(stream: SendStream<Bytes>, complete: StreamEnd, body: B) -> Self {
        Self { stream, room: 0, has_waker: false, has_failed: false, complete, body, chunk: None, stall: None }
    }

    /// Returns true if a chunk waits for the client.
    pub(super) fn is_blocked(&self) -> bool {
        self.stall.is_some()
    }

    /// Resets the stream with INTERNAL_ERROR after it panicked.
    pub(super) fn reset_after_panic(mut self) {
        self.body.on_panic();
        self.stream.send_reset(Reason::INTERNAL_ERROR);
    }

    /// Sends what the body has, as far as the client takes it. Completes when the stream has ended.
    ///
    /// A client may take nothing for `stall_timeout` while a chunk waits.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        window: &SendWindow,
        stall_timeout: Duration,
        ledger: &Arc<MemoryLedger>,
    ) -> Poll<StreamEnd> {
        if (self.has_failed || self.chunk.is_some())
            && let Some(ended) = self.take_waker()
        {
            return Poll::Ready(ended);
        }
        if self.has_failed {
            self.stream.send_reset(Reason::INTERNAL_ERROR);
            return Poll::Ready(StreamEnd::Done);
        }
        let mut has_sent = false;
        loop {
            if let Some(mut chunk) = self.chunk.take() {
                let capacity = match self.poll_capacity(cx) {
                    Poll::Ready(Some(capacity)) => capacity,
                    Poll::Ready(None) => return Poll::Ready(StreamEnd::Done),
                    Poll::Pending => {
                        window.note_blocked();
                        let stall = self.stall.get_or_insert_with(|| {
                            let copied = if chunk.is_unique() { chunk.len() } else { 0 };
                            let _charge = MemoryCharge::new(ledger, MemoryKind::Bodies, copied as u64);
                            let until = Instant::now() + stall_timeout;
                            Box::new(Stall { until, _charge })
                        });
                        self.chunk = Some(chunk);
                        let is_stalled = Instant::now() >= stall.until;
                        return self.body.poll_deadline(cx, is_stalled, stall_timeout).map(|()| StreamEnd::Done);
                    }
                };
                self.stall = None;
                // Pass only as much as there is capacity for. The rest would wait inside h2, where no deadline applies.
                let part = chunk.split_to(chunk.len().min(capacity));
                let is_last = chunk.is_empty() && self.body.is_end_stream();
                if let Some(ended) = self.send(part, is_last, window) {
                    return Poll::Ready(ended);
                }
                if !chunk.is_empty() {
                    self.stream.reserve_capacity(chunk.len());
                    self.chunk = Some(chunk);
                    continue;
                }
                self.measure_room(window);
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                // h2 took the data, so the stream was not reset, and it wakes for a reset that comes.
                Poll::Pending if has_sent && self.has_waker => return Poll::Pending,
                Poll::Pending => {
                    self.has_waker = true;
                    return self.stream.poll_reset(cx).map(|reset| StreamEnd::of(&reset));
                }
                Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {
                    let sent = self.stream.send_trailers(frame.into_trailers().unwrap_or_default());
                    return Poll::Ready(self.end_after(sent));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    let Some(chunk) = frame.into_data().ok().filter(|chunk| !chunk.is_empty()) else { continue };
                    if chunk.len() <= self.room && window.has_room(chunk.len()) && !self.body.is_end_stream() {
                        self.room -= chunk.len();
                        if let Some(ended) = self.send(chunk, false, window) {
                            return Poll::Ready(ended);
                        }
                        has_sent = true;
                        continue;
                    }
                    if let Some(ended) = self.take_waker() {
                        return Poll::Ready(ended);
                    }
                    // Reserve capacity only when there is something to send. Capacity that one stream holds of the
                    // connection's window is lost to the others.
                    self.stream.reserve_capacity(chunk.len());
                    self.chunk = Some(chunk);
                }
                Poll::Ready(Some(Err(_))) => {
                    // h2 forgets what it has not written of a stream that is reset. Let it write head and data first, as
                    // far as the client takes them.
                    self.has_failed = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(None) => {
                    let sent = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(self.end_after(sent));
                }
            }
        }
    }

    /// Gives data to h2. Returns the end if the stream has ended with it, or had ended before.
    fn send(&mut self, data: Bytes, is_last: bool, window: &SendWindow) -> Option<StreamEnd> {
        window.consume(data.len());
        let sent = self.stream.send_data(data, is_last);
        (sent.is_err() || is_last).then(|| self.end_after(sent))
    }

    /// Returns the end after the last frame, which is not sent if the stream had ended before.
    fn end_after(&mut self, sent: Result<(), h2::Error>) -> StreamEnd {
        let ended = if sent.is_err() { self.take_waker() } else { None };
        ended.unwrap_or(self.complete)
    }

    /// Takes back the waker that h2 has, which it would also wake for our own calls. Returns the end if the stream has
    /// ended.
    fn take_waker(&mut self) -> Option<StreamEnd> {
        self.has_waker = false;
        match self.stream.poll_reset(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reset) => Some(StreamEnd::of(&reset)),
            Poll::Pending => None,
        }
    }

    /// Asks h2 for how much it has room, up to [`MEASURED_ROOM`]. Not while the connection's window has less than that: a
    /// stream that asks for more waits in h2 until the window opens, even if it is reset before.
    fn measure_room(&mut self, window: &SendWindow) {
        self.room = 0;
        if window.has_room(MEASURED_ROOM) {
            self.stream.reserve_capacity(MEASURED_ROOM);
            self.room = self.stream.capacity();
            self.stream.reserve_capacity(0);
        }
    }

    /// Waits for send capacity and returns it, in bytes. Returns nothing if the stream has ended.
    fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        loop {
            match self.stream.capacity() {
                0 => match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(None),
                },
                capacity => return Poll::Ready(Some(capacity)),
            }
        }
    }
}
