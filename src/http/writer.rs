//! The way out for HTTP/1.1: a small task per client that writes chunks straight to the connection.
//!
//! Everything up to the head of the log goes out in one write, as handles on the log's own bytes: for a client that takes
//! nothing, at most one batch is held. Deadlines, stalls and departures are branches of this loop. What is written next
//! is decided by the delivery.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::delivery::{Delivery, Step};
use crate::listen::Transport;
use crate::sse::{Encoder, Frame};
use crate::telemetry::End;

/// How long a client that is being ended may take for the rest of what it was sent, so that the end is a clean one.
pub const GRACE: Duration = Duration::from_millis(500);

/// The chunk that ends a body (RFC 9112, 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Handles given to one write.
const SLICES: usize = 64;

/// Most bytes that a client may send behind its request.
const INPUT_BYTES: usize = 64 * 1024;

/// Writes one client's stream.
pub struct Writer {
    transport: Transport,
    delivery: Delivery,
    stall: Duration,
    batch: usize,
}

/// Writing was given up.
enum Cut {
    /// The connection is broken.
    Broken,
    /// The client took nothing for too long.
    Stalled,
    /// The response's life was over and the client did not take the rest within the grace.
    Over(End),
}

impl Writer {
    /// Takes over a connection on which the head and the prelude have been sent. `batch` bounds the bytes held for it.
    pub fn new(mut transport: Transport, delivery: Delivery, stall: Duration, batch: usize) -> Self {
        if let Transport::Tls(tls) = &mut transport {
            tls.get_mut().1.set_buffer_limit(Some(batch));
        }
        Self { transport, delivery, stall, batch }
    }

    /// Writes until the end. `held` is what could not be sent so far.
    pub async fn run(mut self, held: Vec<u8>) {
        let end = match self.stream(held).await {
            Ok(end) => end,
            Err(Cut::Broken) => End::Client,
            Err(Cut::Stalled) => End::Stalled,
            Err(Cut::Over(end)) => end,
        };
        self.delivery.ended(end);
    }

    async fn stream(&mut self, held: Vec<u8>) -> Result<End, Cut> {
        if !held.is_empty() {
            self.write(VecDeque::from([Bytes::from(held)])).await?;
        }
        loop {
            let step = tokio::select! {
                step = self.delivery.next(self.batch) => step,
                () = left(&mut self.transport) => return Ok(End::Client),
            };
            match step {
                Step::Frames(taken) => {
                    let parts: VecDeque<_> = taken.frames.iter().map(|frame| frame.chunk()).collect();
                    // What is counted is the event stream; its framing is this protocol's own.
                    let bytes = taken.frames.iter().map(Frame::len).sum();
                    self.write(parts).await?;
                    self.delivery.sent(&taken, bytes);
                }
                Step::Heartbeat => {
                    let heartbeat = heartbeat();
                    self.write(VecDeque::from([heartbeat.chunk()])).await?;
                    self.delivery.sent_heartbeat(heartbeat.len());
                }
                Step::End(end) => {
                    self.delivery.ended(end);
                    // Best effort from here on: the reason is known.
                    let _ = timeout(GRACE, self.finish(end)).await;
                    return Ok(end);
                }
            }
        }
    }

    /// Ends the response cleanly, and the connection with it.
    async fn finish(&mut self, end: End) -> io::Result<()> {
        if let Some(farewell) = self.delivery.farewell(end) {
            self.transport.write_all(&farewell.chunk()).await?;
        }
        self.transport.write_all(LAST_CHUNK).await?;
        self.transport.shutdown().await?;
        // Closing with unread input would reset the connection and could take the last bytes with it.
        left(&mut self.transport).await;
        Ok(())
    }

    /// Writes everything, or gives up when the client stalls or its time is over.
    async fn write(&mut self, mut parts: VecDeque<Bytes>) -> Result<(), Cut> {
        let mut deadline: Option<Instant> = None;
        let mut over = None;
        loop {
            let transport = &mut self.transport;
            // Most writes go through at once: no timer for those.
            let progress = poll_fn(|cx| match poll_write(transport, cx, &parts) {
                Poll::Pending => Poll::Ready(None),
                Poll::Ready(progress) => Poll::Ready(Some(progress)),
            });
            let progress = match progress.await {
                Some(progress) => progress,
                None => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.stall);
                    tokio::select! {
                        progress = poll_fn(|cx| poll_write(transport, cx, &parts)) => progress,
                        end = self.delivery.over(), if over.is_none() => {
                            over = Some((end, Instant::now() + GRACE));
                            continue;
                        }
                        () = sleep_until(over.map_or(deadline, |(_, grace)| deadline.min(grace))) => {
                            return Err(over.map_or(Cut::Stalled, |(end, _)| Cut::Over(end)));
                        }
                    }
                }
            };
            match progress {
                Err(_) => return Err(Cut::Broken),
                // Flushed: all is out.
                Ok(0) if parts.is_empty() => break,
                Ok(count) => {
                    deadline = None;
                    advance(&mut parts, count);
                }
            }
        }
        match over {
            None => Ok(()),
            // The life was over while the client was slow; it has taken the rest in time and may end cleanly.
            Some((end, _)) => {
                let _ = timeout(GRACE, self.finish(end)).await;
                Err(Cut::Over(end))
            }
        }
    }
}

/// Writes what there is, then flushes. `Ok(0)` with nothing to write means that all has been flushed.
fn poll_write(
    transport: &mut Transport,
    cx: &mut std::task::Context<'_>,
    parts: &VecDeque<Bytes>,
) -> Poll<io::Result<usize>> {
    if parts.is_empty() {
        return Pin::new(transport).poll_flush(cx).map_ok(|()| 0);
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    let count = parts.len().min(SLICES);
    for (slice, part) in slices.iter_mut().zip(parts) {
        *slice = IoSlice::new(part);
    }
    match Pin::new(&mut *transport).poll_write_vectored(cx, &slices[..count]) {
        // The TLS buffer is full: what is in it must go first.
        Poll::Ready(Ok(0)) => match Pin::new(transport).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        },
        written => written,
    }
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

/// Completes when the client has left. What it still sends is thrown away, within reason.
async fn left(transport: &mut Transport) {
    let mut input = [0; 256];
    let mut bytes = 0;
    while let Ok(count) = transport.read(&mut input).await {
        bytes += count;
        if count == 0 || bytes > INPUT_BYTES {
            return;
        }
    }
}

/// A comment that shows life. Without a blank line: to some clients each block is an event.
pub fn heartbeat() -> Frame {
    let mut encoder = Encoder::new();
    encoder.comment("");
    encoder.finish()
}
