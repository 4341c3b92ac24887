//! Delivery over HTTP/1.1: one small task for each client, which writes chunks straight to the connection.
//!
//! Everything up to the end of the log, or up to a batch (`limits.send_buffer`), goes out in one write of references to
//! the log's own bytes. At most one batch is held for a client that reads nothing. Deadlines, stalls and drains are
//! handled on the slow path. The delivery decides what is written next.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep_until, timeout};

use super::delivery::{Delivery, NextWrite};
use super::lag_check::LagCheck;
use super::lifetime::GRACE;
use crate::listen::Transport;
use crate::sse::Frame;
use crate::stream::{BatchOffsets, Offset, ReadBatch};
use crate::telemetry::EndReason;

/// The chunk that ends a body (RFC 9112, 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The largest number of slices in one vectored write.
const SLICES: usize = 64;

/// The most bytes that a client may send behind its request; it counts as gone after that.
const INPUT_BYTES: usize = 64 * 1024;

/// Writes one client's stream.
///
/// The order of the fields is their layout in memory, as in [`Delivery`].
#[repr(C)]
pub(crate) struct Http1Writer {
    delivery: Delivery,
    /// The most bytes that are held for the client.
    max_batch: usize,
    transport: Transport,
    /// The bytes from the client that were discarded so far.
    discarded: usize,
    /// Whether the client asked for a number of events. It may then close its side and still wait for them.
    is_limited: bool,
    stall_timeout: Duration,
}

/// The task of a writer. There is one for each client, so its size is the memory that a client costs.
#[repr(C)]
struct WriterTask {
    /// The writer, while each write completes at once.
    writer: Option<Http1Writer>,
    /// Any other step. Returns the writer, unless the response has ended.
    slow_path: Option<BoxFuture<'static, Option<Http1Writer>>>,
}

/// The reason why writing was given up.
enum WriteAbort {
    /// The connection is broken.
    Broken,
    /// The client took no bytes for the stall timeout.
    Stalled,
    /// The client took bytes so slowly that it was behind the log's start for the stall timeout.
    Lagged,
    /// The response's lifetime ended.
    Ended(EndReason),
}

/// A step of a client's task other than a write that completes at once.
enum SlowStep {
    /// Writes bytes that hyper had not sent yet.
    Leftover(Vec<u8>),
    /// Writes the rest of a batch, of which so many bytes have been written. It gives the batch up when it is polled first,
    /// which is at once.
    Remainder(ReadBatch, usize),
    /// Writes a heartbeat.
    Heartbeat,
    /// Ends the response.
    End(EndReason),
    /// The connection is broken.
    Broken,
}

/// The outcome of a write that does not wait.
enum WriteOutcome {
    /// Everything was written and flushed.
    Complete,
    /// Only so many bytes were written.
    Partial(usize),
}

impl Http1Writer {
    /// Takes over a connection on which the head and the prelude have been sent. At most `max_batch` bytes are held.
    pub(crate) fn new(transport: Transport, delivery: Delivery, stall_timeout: Duration, max_batch: usize) -> Self {
        let is_limited = delivery.is_limited();
        Self { delivery, max_batch, transport, discarded: 0, is_limited, stall_timeout }
    }

    /// Writes until the end. `leftover` holds the bytes of head and prelude that have not been sent yet.
    pub(crate) fn run(self, leftover: Vec<u8>) -> impl Future<Output = ()> + Send + Unpin {
        match leftover.is_empty() {
            true => WriterTask { writer: Some(self), slow_path: None },
            false => {
                WriterTask { writer: None, slow_path: Some(Box::pin(self.run_slow(SlowStep::Leftover(leftover)))) }
            }
        }
    }

    /// Runs a step that may have to wait. Returns the writer, unless the response has ended.
    async fn run_slow(mut self, step: SlowStep) -> Option<Self> {
        let outcome = match step {
            SlowStep::Leftover(leftover) => self.write_all(VecDeque::from([Bytes::from(leftover)]), |_| None).await,
            SlowStep::Remainder(batch, sent) => self.write_remainder(batch, sent).await,
            SlowStep::Heartbeat => self.write_heartbeat().await,
            SlowStep::Broken | SlowStep::End(EndReason::Client) => Err(WriteAbort::Broken),
            SlowStep::End(end) => {
                // The reason is known. Whether the client takes the rest does not change it.
                self.delivery.set_end_reason(end);
                self.finish(end).await;
                Err(WriteAbort::Ended(end))
            }
        };
        let end = match outcome {
            Ok(()) => return Some(self),
            Err(WriteAbort::Broken) => EndReason::Client,
            Err(WriteAbort::Stalled) => EndReason::Stalled,
            Err(WriteAbort::Lagged) => EndReason::Lagged,
            Err(WriteAbort::Ended(end)) => end,
        };
        self.delivery.set_end_reason(end);
        None
    }

    /// Delivers events for as long as each write completes at once. Thousands of clients do this for each event, so it
    /// needs no timer and no memory in the client's task.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<SlowStep> {
        loop {
            let Self { transport, delivery, max_batch, discarded, is_limited, .. } = self;
            let client_gone = |cx: &mut Context<'_>| match is_limited {
                true => Poll::Pending,
                false => poll_client_gone(transport, cx, discarded).map(|()| EndReason::Client),
            };
            let batch = match ready!(delivery.poll_next(cx, *max_batch, client_gone)) {
                NextWrite::Frames(batch) => batch,
                NextWrite::Heartbeat => return Poll::Ready(SlowStep::Heartbeat),
                NextWrite::End(end) => return Poll::Ready(SlowStep::End(end)),
            };
            match try_write(transport, cx, &batch.frames) {
                Err(_) => return Poll::Ready(SlowStep::Broken),
                Ok(WriteOutcome::Complete) => self.sent(&batch),
                Ok(WriteOutcome::Partial(sent)) => return Poll::Ready(SlowStep::Remainder(batch, sent)),
            }
        }
    }

    fn sent(&mut self, batch: &ReadBatch) {
        // The bytes of the event stream are counted, without the chunk framing of HTTP/1.1.
        let bytes = batch.frames.iter().map(Frame::len).sum();
        self.delivery.sent(batch, bytes);
    }

    async fn write_remainder(&mut self, batch: ReadBatch, sent: usize) -> Result<(), WriteAbort> {
        let mut parts = batch.frames.iter().map(|frame| frame.chunk()).collect();
        advance(&mut parts, sent);
        let bytes = batch.frames.iter().map(Frame::len).sum();
        let ReadBatch { frames, events, oldest, offsets } = batch;
        let count = frames.len();
        // Frames that have been written must not stay in memory until the last one is.
        drop(frames);
        let counted = ReadBatch { frames: [].into(), events, oldest, offsets: BatchOffsets::None };
        self.write_all(parts, |left| offsets.at(count - left)).await?;
        self.delivery.sent(&counted, bytes);
        Ok(())
    }

    async fn write_heartbeat(&mut self) -> Result<(), WriteAbort> {
        let heartbeat = self.delivery.heartbeat();
        self.write_all(VecDeque::from([heartbeat.chunk()]), |_| None).await?;
        self.delivery.sent_heartbeat(heartbeat.len());
        Ok(())
    }

    /// Ends the response in its configured form, and then the connection. Gives up after [`GRACE`].
    async fn finish(&mut self, end: EndReason) {
        let _ = timeout(GRACE, self.close(end)).await;
    }

    async fn close(&mut self, end: EndReason) -> io::Result<()> {
        if let Some(frame) = self.delivery.last_frame(end) {
            self.transport.write_all(&frame.chunk()).await?;
        }
        if !self.delivery.is_cut(end) {
            self.transport.write_all(LAST_CHUNK).await?;
        }
        self.transport.shutdown().await?;
        // Closing a socket with unread input resets the connection, and the client could lose the last bytes.
        poll_fn(|cx| poll_client_gone(&mut self.transport, cx, &mut 0)).await;
        Ok(())
    }

    /// Writes and flushes everything. Gives up when the client stalls or lags, or [`GRACE`] after the lifetime has ended.
    /// `held_from` returns the log's offset of the first of so many last parts.
    async fn write_all(
        &mut self,
        mut parts: VecDeque<Bytes>,
        held_from: impl Fn(usize) -> Option<Offset>,
    ) -> Result<(), WriteAbort> {
        let mut stall_deadline = Instant::now() + self.stall_timeout;
        let mut ended = None;
        let mut lag_check = LagCheck::new(self.delivery.offset());
        let stream = self.delivery.stream().clone();
        let permit = self.delivery.subject_permit();
        let set_blocked = |is_blocked| permit.iter().for_each(|permit| permit.set_blocked(is_blocked));
        loop {
            let (transport, is_open) = (&mut self.transport, ended.is_none());
            let write = |cx: &mut Context<'_>| {
                let progress = poll_write(transport, cx, &parts);
                set_blocked(progress.is_pending());
                progress
            };
            let deadline = ended.map_or(stall_deadline, |(_, grace)| stall_deadline.min(grace));
            // Once the response has ended, only the rest of its time counts.
            let wake_at = if is_open { deadline.min(lag_check.next()) } else { deadline };
            let progress = tokio::select! {
                progress = poll_fn(write) => progress.map(Some),
                end = self.delivery.ended(), if is_open => {
                    // The reason is known. Whether the client takes the rest does not change it.
                    self.delivery.set_end_reason(end);
                    ended = Some((end, Instant::now() + GRACE));
                    continue;
                }
                () = sleep_until(wake_at) => {
                    if Instant::now() >= deadline {
                        return Err(ended.map_or(WriteAbort::Stalled, |(end, _)| WriteAbort::Ended(end)));
                    }
                    Ok(None)
                }
            };
            match progress.map_err(|_: io::Error| WriteAbort::Broken)? {
                // Everything has been flushed.
                Some(0) if parts.is_empty() => break,
                Some(count) => {
                    stall_deadline = Instant::now() + self.stall_timeout;
                    advance(&mut parts, count);
                }
                None => {}
            }
            if is_open && lag_check.has_failed(&stream, held_from(parts.len()), self.stall_timeout) {
                return Err(WriteAbort::Lagged);
            }
        }
        match ended {
            None => Ok(()),
            // The lifetime ended while the client was slow. It has taken the rest in time, so the end is a clean one.
            Some((end, _)) => {
                self.finish(end).await;
                Err(WriteAbort::Ended(end))
            }
        }
    }
}

impl Future for WriterTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(slow_path) = &mut self.slow_path {
                self.writer = ready!(slow_path.as_mut().poll(cx));
                self.slow_path = None;
            }
            let Some(writer) = &mut self.writer else { return Poll::Ready(()) };
            let step = ready!(writer.poll_events(cx));
            self.slow_path = self.writer.take().map(|writer| -> BoxFuture<'_, _> { Box::pin(writer.run_slow(step)) });
        }
    }
}

/// Writes a part of `parts`, or flushes if they are empty. Returns the number of bytes written; `Ok(0)` with empty parts
/// means that everything has been flushed.
fn poll_write(transport: &mut Transport, cx: &mut Context<'_>, parts: &VecDeque<Bytes>) -> Poll<io::Result<usize>> {
    if parts.is_empty() {
        return Pin::new(transport).poll_flush(cx).map_ok(|()| 0);
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    let count = parts.len().min(SLICES);
    for (slice, part) in slices.iter_mut().zip(parts) {
        *slice = IoSlice::new(part);
    }
    Pin::new(transport).poll_write_vectored(cx, &slices[..count])
}

/// Writes and flushes as much as possible without waiting. The task is woken when more can be written.
fn try_write(transport: &mut Transport, cx: &mut Context<'_>, frames: &[Frame]) -> io::Result<WriteOutcome> {
    let bytes = frames.iter().map(|frame| frame.as_chunk().len()).sum();
    let mut sent = 0;
    while sent < bytes {
        match poll_write_frames(transport, cx, frames, sent) {
            Poll::Ready(count) => sent += count?,
            Poll::Pending => return Ok(WriteOutcome::Partial(sent)),
        }
    }
    match Pin::new(transport).poll_flush(cx) {
        Poll::Ready(flushed) => flushed.map(|()| WriteOutcome::Complete),
        Poll::Pending => Ok(WriteOutcome::Partial(sent)),
    }
}

/// Writes a part of `frames`, of which `sent` bytes have been written already.
fn poll_write_frames(
    transport: &mut Transport,
    cx: &mut Context<'_>,
    frames: &[Frame],
    mut sent: usize,
) -> Poll<io::Result<usize>> {
    // A plain write costs the kernel less than a vectored write of one slice.
    if let [frame] = frames {
        return Pin::new(transport).poll_write(cx, &frame.as_chunk()[sent..]);
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    let mut count = 0;
    for chunk in frames.iter().map(Frame::as_chunk) {
        let skipped = sent.min(chunk.len());
        sent -= skipped;
        if skipped < chunk.len() && count < SLICES {
            slices[count] = IoSlice::new(&chunk[skipped..]);
            count += 1;
        }
    }
    Pin::new(transport).poll_write_vectored(cx, &slices[..count])
}

/// Removes the first `count` bytes of `parts`.
fn advance(parts: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(first) = parts.front_mut() {
        if count < first.len() {
            first.advance(count);
            return;
        }
        count -= first.len();
        parts.pop_front();
    }
}

/// Completes when the client has closed the connection or sent more than [`INPUT_BYTES`]. Its input is discarded;
/// `discarded` counts it.
fn poll_client_gone(transport: &mut Transport, cx: &mut Context<'_>, discarded: &mut usize) -> Poll<()> {
    let mut input = [MaybeUninit::uninit(); 256];
    loop {
        let mut input = ReadBuf::uninit(&mut input);
        match ready!(Pin::new(&mut *transport).poll_read(cx, &mut input)) {
            Ok(()) if !input.filled().is_empty() && *discarded <= INPUT_BYTES => *discarded += input.filled().len(),
            _ => return Poll::Ready(()),
        }
    }
}

#[cfg(test)]
mod tests;
