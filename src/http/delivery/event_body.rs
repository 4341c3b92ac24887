//! Delivery over HTTP/2, and for responses that hyper carries (HTTP/1.0 and finite reads): a body that pulls from the log.
//!
//! On HTTP/2 the connection asks the body how long a piece may wait for its client ([`EventBody::poll_deadline`]). hyper
//! polls a body only while the client takes bytes. So [`enforce_deadlines`] runs beside hyper ([`Handoff::decline`]): it
//! drops the connection of a client whose time is over, or that takes nothing while events wait.
//!
//! [`Handoff::decline`]: crate::listen::Handoff::decline

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

use super::delivery::{Delivery, NextWrite};
use super::lag_check::LagCheck;
use super::lifetime::GRACE;
use super::record::EndReasonCell;
use crate::stream::{EventStream, Offset, ReadBatch};
use crate::telemetry::EndReason;

/// The largest piece that the body returns, in bytes. A piece that has been returned no longer counts as unsent here.
const PIECE_BYTES: usize = 16 * 1024;

/// A response body of events.
pub struct EventBody {
    delivery: Delivery,
    /// The next bytes: the prelude, the rest of a batch, or the last frame.
    pending: Option<Bytes>,
    end: EndState,
    /// The deadlines of a client for which bytes wait or waited since the last batch. Boxed, because few have any.
    deadlines: Option<Box<Deadlines>>,
    /// Set if hyper carries the body.
    progress: Option<Arc<BodyProgress>>,
    /// Whether the last piece waits for the client.
    is_blocked: bool,
    /// The distance from the log's oldest entry in the last batch to the position; 0 if it had none.
    held_entries: u32,
}

// An attacker can have thousands for a few bytes each. Its allocation is of this size as well.
const _: () = assert!(size_of::<EventBody>() <= 320);

/// The deadlines of a client for which bytes wait.
struct Deadlines {
    /// Runs while the client may still take the rest although the lifetime has ended.
    grace: Option<Pin<Box<Sleep>>>,
    lag_check: LagCheck,
}

/// The state of a body's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndState {
    /// The response has not ended.
    Open,
    /// The body ends after the pending bytes.
    Clean,
    /// The body ends with an error, but not before the pending bytes have been written.
    Cutting,
    /// The body ends with an error now.
    Cut,
}

/// The response is cut off, and its client should reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("response cut off")]
pub struct CutOff;

/// The progress of a body, as [`enforce_deadlines`] sees it.
#[derive(Debug, Default)]
pub struct BodyProgress {
    /// The number of polls so far.
    polls: AtomicU64,
    /// The offset that is read next.
    offset: AtomicU64,
}

impl EventBody {
    /// Returns a body of the prelude and everything that the delivery brings.
    pub fn new(prelude: Bytes, delivery: Delivery) -> Self {
        let pending = Some(prelude);
        Self {
            delivery,
            pending,
            end: EndState::Open,
            deadlines: None,
            progress: None,
            is_blocked: false,
            held_entries: 0,
        }
    }

    /// Returns the progress of the body, for [`enforce_deadlines`].
    pub fn monitor(&mut self) -> Weak<BodyProgress> {
        let progress = self.progress.get_or_insert_default();
        progress.offset.store(self.delivery.offset().0, Ordering::Relaxed);
        Arc::downgrade(progress)
    }

    /// Completes when the client must be cut off. Polled while the last piece waits for the client.
    pub fn poll_deadline(&mut self, cx: &mut Context<'_>, is_stalled: bool, stall_timeout: Duration) -> Poll<()> {
        if is_stalled {
            self.delivery.set_end_reason(EndReason::Stalled);
            return Poll::Ready(());
        }
        self.set_blocked(true);
        let deadlines = self.deadlines.get_or_insert_with(|| {
            Box::new(Deadlines { grace: None, lag_check: LagCheck::new(self.delivery.offset()) })
        });
        if self.end == EndState::Open {
            let held = u64::from(self.held_entries);
            let held_from = (held > 0).then(|| Offset(self.delivery.offset().0.saturating_sub(held)));
            if deadlines.lag_check.has_failed(self.delivery.stream(), held_from, stall_timeout) {
                self.delivery.set_end_reason(EndReason::Lagged);
                return Poll::Ready(());
            }
            let end = ready!(self.delivery.poll_ended(cx));
            self.finish(end);
        }
        let deadlines = self.deadlines.as_mut().expect("inserted above");
        deadlines.grace.get_or_insert_with(|| Box::pin(sleep(GRACE))).as_mut().poll(cx)
    }

    /// Records that the body has panicked. It must not be polled again.
    pub fn on_panic(&mut self) {
        self.delivery.set_end_reason(EndReason::Error);
    }

    fn set_blocked(&mut self, is_blocked: bool) {
        if self.is_blocked != is_blocked {
            self.is_blocked = is_blocked;
            self.delivery.subject_permit().iter().for_each(|permit| permit.set_blocked(is_blocked));
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CutOff>>> {
        loop {
            if let Some(mut piece) = self.pending.take() {
                if piece.len() > PIECE_BYTES {
                    self.pending = Some(piece.split_off(PIECE_BYTES));
                }
                return Poll::Ready(Some(Ok(piece)));
            }
            match self.end {
                // The client has taken everything, so it has its time again.
                EndState::Open => self.deadlines = None,
                EndState::Clean => return Poll::Ready(None),
                EndState::Cutting => {
                    // An error makes the connection discard pieces that it has not written yet. Give it a turn first.
                    self.end = EndState::Cut;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                EndState::Cut => return Poll::Ready(Some(Err(CutOff))),
            }
            match ready!(self.delivery.poll_next(cx, PIECE_BYTES, |_| Poll::Pending)) {
                NextWrite::Frames(batch) => {
                    let bytes = concat(&batch);
                    self.delivery.sent(&batch, bytes.len());
                    let held = batch.offsets.at(0).map_or(0, |first| self.delivery.offset().0.saturating_sub(first.0));
                    self.held_entries = u32::try_from(held).unwrap_or(u32::MAX);
                    if let Some(progress) = &self.progress {
                        progress.offset.store(self.delivery.offset().0, Ordering::Relaxed);
                    }
                    self.pending = Some(bytes);
                }
                NextWrite::Heartbeat => {
                    let bytes = self.delivery.heartbeat().body();
                    self.delivery.sent_heartbeat(bytes.len());
                    self.held_entries = 0;
                    self.pending = Some(bytes);
                }
                NextWrite::End(end) => self.finish(end),
            }
        }
    }

    fn finish(&mut self, end: EndReason) {
        self.delivery.set_end_reason(end);
        self.end = if self.delivery.is_cut(end) { EndState::Cutting } else { EndState::Clean };
        if let Some(frame) = self.delivery.last_frame(end) {
            // The rest of a batch that was split comes first.
            self.pending = Some(match self.pending.take() {
                None => frame.body(),
                Some(rest) => [rest, frame.body()].concat().into(),
            });
        }
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if let Some(progress) = &self.progress {
            progress.polls.fetch_add(1, Ordering::Relaxed);
        }
        self.set_blocked(false);
        self.poll_piece(cx).map(|piece| piece.map(|bytes| bytes.map(Frame::data)))
    }
}

/// Joins the frames of a batch into one piece: each piece becomes a DATA frame, and some HTTP/2 clients close a connection
/// that sends many tiny ones.
fn concat(batch: &ReadBatch) -> Bytes {
    if let [frame] = &*batch.frames {
        return frame.body();
    }
    let mut joined = BytesMut::with_capacity(batch.frames.iter().map(|frame| frame.len()).sum());
    for frame in &*batch.frames {
        joined.extend_from_slice(&frame.body());
    }
    joined.freeze()
}

/// Completes when the response must be dropped: its client stalls or lags, or does not take the rest after `ended`, the
/// end of its lifetime. Never completes once the body is gone: a finite response leaves its connection to the next
/// request, and this future with it.
pub(crate) async fn enforce_deadlines(
    ended: impl Future<Output = EndReason>,
    progress: Weak<BodyProgress>,
    stream: Arc<EventStream>,
    stall_timeout: Duration,
    end_reason: EndReasonCell,
) {
    let end = tokio::select! {
        end = ended => {
            // The same event has woken the body. If the client takes the rest, the body ends by itself.
            sleep(GRACE).await;
            (progress.strong_count() > 0).then_some(end)
        }
        end = stalled(&progress, &stream, stall_timeout) => end,
    };
    // The connection may live on with other requests, and must not hold the log.
    drop(stream);
    match end {
        Some(end) => end_reason.set(end),
        None => std::future::pending().await,
    }
}

/// Completes when events have waited for `timeout` without a poll of the body, or the next one was evicted so long ago.
/// Completes with `None` when the body is gone.
async fn stalled(progress: &Weak<BodyProgress>, stream: &EventStream, timeout: Duration) -> Option<EndReason> {
    let mut blocked: Option<(u64, Instant)> = None;
    let mut lagged: Option<Instant> = None;
    loop {
        sleep(timeout / 4).await;
        let progress = progress.upgrade()?;
        let polls = progress.polls.load(Ordering::Relaxed);
        let offset = Offset(progress.offset.load(Ordering::Relaxed));
        let is_behind = stream.progress().end > offset;
        if offset >= stream.log().start() {
            lagged = None;
        } else if lagged.get_or_insert_with(Instant::now).elapsed() >= timeout || stream.is_memory_full() {
            return Some(EndReason::Lagged);
        }
        blocked = match blocked {
            _ if !is_behind => None,
            Some((then, since)) if then == polls => {
                if since.elapsed() >= timeout {
                    return Some(EndReason::Stalled);
                }
                blocked
            }
            _ => Some((polls, Instant::now())),
        };
    }
}

#[cfg(test)]
mod tests;
