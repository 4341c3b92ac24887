//! The way out for HTTP/1.1: a small task per client that writes chunks straight to the connection.
//!
//! Everything up to the head of the log, or of a batch (`limits.send_buffer`), goes out in one write, as handles on the
//! log's own bytes: for a client that takes nothing, at most one batch is held. Deadlines, stalls and departures are
//! branches of what takes time. What is written next is decided by the delivery.

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
use super::lifetime::GRACE;
use super::notice::heartbeat;
use crate::listen::Transport;
use crate::sse::Frame;
use crate::stream::ReadBatch;
use crate::telemetry::EndReason;

/// The chunk that ends a body (RFC 9112, 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Handles given to one write.
const SLICES: usize = 64;

/// Most bytes that a client may send behind its request.
const INPUT_BYTES: usize = 64 * 1024;

/// Writes one client's stream.
///
/// In this order, as in [`Delivery`].
#[repr(C)]
pub struct Http1Writer {
    delivery: Delivery,
    batch: usize,
    transport: Transport,
    /// How much of what the client sent has been thrown away.
    thrown_away: usize,
    /// What the client does with its side says nothing.
    is_limited: bool,
    stall: Duration,
}

/// A writer at work: this is the task, and the memory, of every client.
#[repr(C)]
struct Writing {
    /// Here while each write goes through at once.
    writer: Option<Http1Writer>,
    /// Everything else; gives the writer back unless that was the end.
    slowly: Option<BoxFuture<'static, Option<Http1Writer>>>,
}

/// Writing was given up.
enum Cut {
    /// The connection is broken.
    Broken,
    /// The client took nothing for too long.
    Stalled,
    /// The response's life was over and the client did not take the rest within the grace.
    Over(EndReason),
}

/// What a client's task does beside writing events at once.
enum Pause {
    /// This is to be written first.
    Held(Vec<u8>),
    /// This was taken, and so many bytes of it are out.
    Unsent(ReadBatch, usize),
    /// A comment is due.
    Heartbeat,
    /// Nothing more is to be written.
    EndReason(EndReason),
    /// The connection is broken.
    Broken,
}

/// What became of a write.
enum AtOnce {
    /// All is out.
    All,
    /// Only so many bytes are.
    Only(usize),
}

impl Http1Writer {
    /// Takes over a connection on which the head and the prelude have been sent. `batch` bounds the bytes held for it.
    pub fn new(transport: Transport, delivery: Delivery, stall: Duration, batch: usize) -> Self {
        let is_limited = delivery.is_limited();
        Self { delivery, batch, transport, thrown_away: 0, is_limited, stall }
    }

    /// Writes until the end. `held` is what could not be sent so far.
    pub fn run(self, held: Vec<u8>) -> impl Future<Output = ()> + Send + Unpin {
        match held.is_empty() {
            true => Writing { writer: Some(self), slowly: None },
            false => Writing { writer: None, slowly: Some(Box::pin(self.pause(Pause::Held(held)))) },
        }
    }

    /// Does what takes time. The writer again, if there is more to write.
    async fn pause(mut self, pause: Pause) -> Option<Self> {
        let done = match pause {
            Pause::Held(held) => self.write_slowly(VecDeque::from([Bytes::from(held)])).await,
            Pause::Unsent(taken, sent) => self.write_rest(taken, sent).await,
            Pause::Heartbeat => self.write_heartbeat().await,
            Pause::Broken | Pause::EndReason(EndReason::Client) => Err(Cut::Broken),
            Pause::EndReason(end) => {
                // What follows is at its best: the reason is known.
                self.delivery.ended(end);
                self.finish(end).await;
                Err(Cut::Over(end))
            }
        };
        let end = match done {
            Ok(()) => return Some(self),
            Err(Cut::Broken) => EndReason::Client,
            Err(Cut::Stalled) => EndReason::Stalled,
            Err(Cut::Over(end)) => end,
        };
        self.delivery.ended(end);
        None
    }

    /// Delivers events for as long as each write goes through at once: thousands of clients do this for each event, so
    /// it has no timer and no room of its own in any client's task.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<Pause> {
        loop {
            let Self { transport, delivery, batch, thrown_away, is_limited, .. } = self;
            let left = |cx: &mut Context<'_>| match is_limited {
                true => Poll::Pending,
                false => poll_left(transport, cx, thrown_away).map(|()| EndReason::Client),
            };
            let taken = match ready!(delivery.poll_next(cx, *batch, left)) {
                NextWrite::Frames(taken) => taken,
                NextWrite::Heartbeat => return Poll::Ready(Pause::Heartbeat),
                NextWrite::EndReason(end) => return Poll::Ready(Pause::EndReason(end)),
            };
            match write_at_once(transport, cx, &taken.frames) {
                Err(_) => return Poll::Ready(Pause::Broken),
                Ok(AtOnce::All) => self.sent(&taken),
                Ok(AtOnce::Only(sent)) => return Poll::Ready(Pause::Unsent(taken, sent)),
            }
        }
    }

    fn sent(&mut self, taken: &ReadBatch) {
        // What is counted is the event stream; its framing is this protocol's own.
        let bytes = taken.frames.iter().map(Frame::len).sum();
        self.delivery.sent(taken, bytes);
    }

    async fn write_rest(&mut self, taken: ReadBatch, sent: usize) -> Result<(), Cut> {
        let mut parts = taken.frames.iter().map(|frame| frame.chunk()).collect();
        advance(&mut parts, sent);
        self.write_slowly(parts).await?;
        self.sent(&taken);
        Ok(())
    }

    async fn write_heartbeat(&mut self) -> Result<(), Cut> {
        let heartbeat = heartbeat();
        self.write_slowly(VecDeque::from([heartbeat.chunk()])).await?;
        self.delivery.sent_heartbeat(heartbeat.len());
        Ok(())
    }

    /// Ends the response as it is to end, and the connection with it, if the client takes it within the grace.
    async fn finish(&mut self, end: EndReason) {
        let _ = timeout(GRACE, self.close(end)).await;
    }

    async fn close(&mut self, end: EndReason) -> io::Result<()> {
        if let Some(farewell) = self.delivery.farewell(end) {
            self.transport.write_all(&farewell.chunk()).await?;
        }
        if !self.delivery.is_cut(end) {
            self.transport.write_all(LAST_CHUNK).await?;
        }
        self.transport.shutdown().await?;
        // Closing with unread input would reset the connection and could take the last bytes with it.
        poll_fn(|cx| poll_left(&mut self.transport, cx, &mut 0)).await;
        Ok(())
    }

    /// Writes everything, or gives up when the client stalls or its time is over.
    async fn write_slowly(&mut self, mut parts: VecDeque<Bytes>) -> Result<(), Cut> {
        let mut deadline = Instant::now() + self.stall;
        let mut over = None;
        let place = self.delivery.place_of_subject();
        let is_waiting = |is_waiting| place.iter().for_each(|place| place.waits_for_client(is_waiting));
        loop {
            let transport = &mut self.transport;
            let write = |cx: &mut Context<'_>| {
                let progress = poll_write(transport, cx, &parts);
                is_waiting(progress.is_pending());
                progress
            };
            let progress = tokio::select! {
                progress = poll_fn(write) => progress,
                end = self.delivery.over(), if over.is_none() => {
                    over = Some((end, Instant::now() + GRACE));
                    continue;
                }
                () = sleep_until(over.map_or(deadline, |(_, grace)| deadline.min(grace))) => {
                    return Err(over.map_or(Cut::Stalled, |(end, _)| Cut::Over(end)));
                }
            };
            match progress {
                Err(_) => return Err(Cut::Broken),
                // Flushed: all is out.
                Ok(0) if parts.is_empty() => break,
                Ok(count) => {
                    deadline = Instant::now() + self.stall;
                    advance(&mut parts, count);
                }
            }
        }
        match over {
            None => Ok(()),
            // The life was over while the client was slow; it has taken the rest in time and may end cleanly.
            Some((end, _)) => {
                self.finish(end).await;
                Err(Cut::Over(end))
            }
        }
    }
}

impl Future for Writing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(slowly) = &mut self.slowly {
                self.writer = ready!(slowly.as_mut().poll(cx));
                self.slowly = None;
            }
            let Some(writer) = &mut self.writer else { return Poll::Ready(()) };
            let pause = ready!(writer.poll_events(cx));
            self.slowly = self.writer.take().map(|writer| -> BoxFuture<'_, _> { Box::pin(writer.pause(pause)) });
        }
    }
}

/// Writes what there is, then flushes. `Ok(0)` with nothing to write means that all has been flushed.
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

/// Writes and flushes as much as goes without waiting; the task is woken when more does.
fn write_at_once(transport: &mut Transport, cx: &mut Context<'_>, frames: &[Frame]) -> io::Result<AtOnce> {
    let bytes = frames.iter().map(|frame| frame.as_chunk().len()).sum();
    let mut sent = 0;
    while sent < bytes {
        match poll_write_frames(transport, cx, frames, sent) {
            Poll::Ready(count) => sent += count?,
            Poll::Pending => return Ok(AtOnce::Only(sent)),
        }
    }
    match Pin::new(transport).poll_flush(cx) {
        Poll::Ready(flushed) => flushed.map(|()| AtOnce::All),
        Poll::Pending => Ok(AtOnce::Only(sent)),
    }
}

/// As [`poll_write`], for frames of which `sent` bytes are out already.
fn poll_write_frames(
    transport: &mut Transport,
    cx: &mut Context<'_>,
    frames: &[Frame],
    mut sent: usize,
) -> Poll<io::Result<usize>> {
    // The kernel takes a single piece at less cost than a list of one.
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

/// Completes when the client has left. What it still sends is thrown away, within reason; `bytes` counts it.
fn poll_left(transport: &mut Transport, cx: &mut Context<'_>, bytes: &mut usize) -> Poll<()> {
    let mut input = [MaybeUninit::uninit(); 256];
    loop {
        let mut input = ReadBuf::uninit(&mut input);
        match ready!(Pin::new(&mut *transport).poll_read(cx, &mut input)) {
            Ok(()) if !input.filled().is_empty() && *bytes <= INPUT_BYTES => *bytes += input.filled().len(),
            _ => return Poll::Ready(()),
        }
    }
}
