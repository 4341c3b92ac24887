//! The way out for HTTP/2, and for what stays with hyper (HTTP/1.0 and finite responses): a body that pulls from the log.
//!
//! On HTTP/2 the connection asks the body how long a piece may wait for its client. hyper polls the body only while the
//! client takes bytes. So a guard looks on from outside ([`listen::abort_when`]): it ends a client whose time is over, or that
//! takes nothing while events wait, by dropping what carries the response.
//!
//! [`listen::abort_when`]: crate::listen::abort_when

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

use super::delivery::{Delivery, NextWrite};
use super::lifetime::{GRACE, Lifetime};
use super::notice::heartbeat;
use super::record::EndReasonCell;
use crate::stream::{EventStream, Offset, ReadBatch};
use crate::telemetry::EndReason;

/// Largest piece handed out: what is in other hands no longer counts as unsent here.
const PIECE_BYTES: usize = 16 * 1024;

/// A response body of events.
pub struct EventBody {
    delivery: Delivery,
    /// What is given next: the prelude, what was too much for one piece, or the farewell.
    waiting: Option<Bytes>,
    over: Over,
    /// Runs while the client may still take the rest although its time is over.
    grace: Option<Pin<Box<Sleep>>>,
    /// Where hyper sends it.
    attention: Option<Arc<BodyProgress>>,
    /// What it gave last waits for its client.
    is_waiting: bool,
}

/// How far a body's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    NotYet,
    /// Nothing more comes.
    Clean,
    /// It is to end with an error.
    Cutting,
    /// It may.
    Cut,
}

/// The response ends here, and its client should come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response is cut off")]
pub struct CutOff;

/// What can be seen of a body from outside.
#[derive(Debug, Default)]
pub struct BodyProgress {
    polls: AtomicU64,
    place: AtomicU64,
}

impl EventBody {
    /// The prelude, then what the delivery gives.
    pub fn new(prelude: Bytes, delivery: Delivery) -> Self {
        Self { delivery, waiting: Some(prelude), over: Over::NotYet, grace: None, attention: None, is_waiting: false }
    }

    /// Lets a guard look on.
    pub fn watched(&mut self) -> Weak<BodyProgress> {
        let attention = self.attention.get_or_insert_default();
        attention.place.store(self.delivery.place().0, Ordering::Relaxed);
        Arc::downgrade(attention)
    }

    /// Polled while what it gave last waits for the client; completes when the client is to be cut off.
    pub fn poll_deadline(&mut self, cx: &mut Context<'_>, is_stalled: bool) -> Poll<()> {
        if is_stalled {
            self.delivery.ended(EndReason::Stalled);
            return Poll::Ready(());
        }
        self.waits_for_client(true);
        if self.over == Over::NotYet {
            let end = ready!(self.delivery.poll_over(cx));
            self.end(end);
        }
        self.grace.get_or_insert_with(|| Box::pin(sleep(GRACE))).as_mut().poll(cx)
    }

    /// It has panicked, and goes no further.
    pub fn on_panic(&mut self) {
        self.delivery.ended(EndReason::Error);
    }

    fn waits_for_client(&mut self, is_waiting: bool) {
        if self.is_waiting != is_waiting {
            self.is_waiting = is_waiting;
            self.delivery.place_of_subject().iter().for_each(|place| place.waits_for_client(is_waiting));
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CutOff>>> {
        loop {
            if let Some(mut piece) = self.waiting.take() {
                if piece.len() > PIECE_BYTES {
                    self.waiting = Some(piece.split_off(PIECE_BYTES));
                }
                return Poll::Ready(Some(Ok(piece)));
            }
            match self.over {
                Over::NotYet => {}
                Over::Clean => return Poll::Ready(None),
                Over::Cutting => {
                    // What was given last is written before: whoever carries a body throws that away with it.
                    self.over = Over::Cut;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Over::Cut => return Poll::Ready(Some(Err(CutOff))),
            }
            match ready!(self.delivery.poll_next(cx, PIECE_BYTES, |_| Poll::Pending)) {
                NextWrite::Frames(taken) => {
                    let bytes = join(&taken);
                    self.delivery.sent(&taken, bytes.len());
                    if let Some(attention) = &self.attention {
                        attention.place.store(self.delivery.place().0, Ordering::Relaxed);
                    }
                    self.waiting = Some(bytes);
                }
                NextWrite::Heartbeat => {
                    let bytes = heartbeat().body();
                    self.delivery.sent_heartbeat(bytes.len());
                    self.waiting = Some(bytes);
                }
                NextWrite::EndReason(end) => self.end(end),
            }
        }
    }

    fn end(&mut self, end: EndReason) {
        self.delivery.ended(end);
        self.over = if self.delivery.is_cut(end) { Over::Cutting } else { Over::Clean };
        if let Some(farewell) = self.delivery.farewell(end) {
            // Behind the rest of a piece that was cut.
            self.waiting = Some(match self.waiting.take() {
                None => farewell.body(),
                Some(rest) => [rest, farewell.body()].concat().into(),
            });
        }
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if let Some(attention) = &self.attention {
            attention.polls.fetch_add(1, Ordering::Relaxed);
        }
        self.waits_for_client(false);
        self.poll_piece(cx).map(|piece| piece.map(|bytes| bytes.map(Frame::data)))
    }
}

/// One piece of many small frames: a frame each would be a DATA frame each, and some HTTP/2 clients close a
/// connection that brings many tiny ones.
fn join(taken: &ReadBatch) -> Bytes {
    if let [frame] = &*taken.frames {
        return frame.body();
    }
    let mut joined = BytesMut::with_capacity(taken.frames.iter().map(|frame| frame.len()).sum());
    for frame in &*taken.frames {
        joined.extend_from_slice(&frame.body());
    }
    joined.freeze()
}

/// Completes when the response must be dropped because its client does not let it end; never once the body is gone: a
/// finite response leaves its connection to the next request, and the guard with it.
pub async fn guard(
    life: Lifetime,
    attention: Weak<BodyProgress>,
    stream: Arc<EventStream>,
    stall: Duration,
    ending: EndReasonCell,
) {
    let end = tokio::select! {
        end = life.over() => {
            // The body has been woken by the same; if the client takes the rest, it ends by itself.
            sleep(GRACE).await;
            (attention.strong_count() > 0).then_some(end)
        }
        is_stalled = stalled(&attention, &stream, stall) => is_stalled.then_some(EndReason::Stalled),
    };
    // The log must not be held for a connection that has other things to do.
    drop(stream);
    match end {
        Some(end) => ending.set(end),
        None => std::future::pending().await,
    }
}

/// Completes when events have been waiting for `stall` without the body being asked for them; `false`: it is gone.
async fn stalled(attention: &Weak<BodyProgress>, stream: &EventStream, stall: Duration) -> bool {
    let mut waiting: Option<(u64, Instant)> = None;
    loop {
        sleep(stall / 4).await;
        let Some(attention) = attention.upgrade() else { return false };
        let polls = attention.polls.load(Ordering::Relaxed);
        let is_behind = stream.progress().end > Offset(attention.place.load(Ordering::Relaxed));
        waiting = match waiting {
            _ if !is_behind => None,
            Some((then, since)) if then == polls => {
                if since.elapsed() >= stall {
                    return true;
                }
                waiting
            }
            _ => Some((polls, Instant::now())),
        };
    }
}

#[cfg(test)]
mod tests;
