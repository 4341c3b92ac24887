//! The way out for what stays with hyper: HTTP/2, HTTP/1.0 and finite responses, as a body that pulls from the log.
//!
//! hyper polls the body only while the client takes bytes. So a guard looks on from outside ([`listen::watch`]): it ends
//! a client whose time is over, or that takes nothing while events wait, by dropping what carries the response.
//!
//! [`listen::watch`]: crate::listen::watch

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};
use http_body::{Body, Frame};
use tokio::time::{Instant, sleep};

use super::delivery::{Delivery, Step};
use super::life::Life;
use super::report::Ending;
use super::writer::{GRACE, heartbeat};
use crate::stream::{EventStream, Offset, Taken};
use crate::telemetry::End;

/// Largest piece handed to hyper: what is in its hands no longer counts as unsent here.
const PIECE_BYTES: usize = 16 * 1024;

/// A response body of events.
pub struct EventBody {
    pieces: BoxStream<'static, Bytes>,
    attention: Arc<Attention>,
}

/// What can be seen of a body from outside.
#[derive(Debug, Default)]
pub struct Attention {
    polls: AtomicU64,
    place: AtomicU64,
}

impl EventBody {
    /// The prelude, then what the delivery gives.
    pub fn new(prelude: Bytes, delivery: Delivery) -> (Self, Weak<Attention>) {
        let attention = Arc::new(Attention::default());
        attention.place.store(delivery.place().0, Ordering::Relaxed);
        let state =
            State { delivery, waiting: VecDeque::from([prelude]), is_over: false, attention: attention.clone() };
        let pieces = unfold(state, |mut state| async {
            let piece = state.next().await?;
            Some((piece, state))
        });
        let seen = Arc::downgrade(&attention);
        (Self { pieces: pieces.boxed(), attention }, seen)
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.attention.polls.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.pieces).poll_next(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

struct State {
    delivery: Delivery,
    waiting: VecDeque<Bytes>,
    is_over: bool,
    attention: Arc<Attention>,
}

impl State {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(mut piece) = self.waiting.pop_front() {
                if piece.len() > PIECE_BYTES {
                    self.waiting.push_front(piece.split_off(PIECE_BYTES));
                }
                return Some(piece);
            }
            if self.is_over {
                return None;
            }
            match self.delivery.next(PIECE_BYTES).await {
                Step::Frames(taken) => {
                    let bytes = join(&taken);
                    self.delivery.sent(&taken, bytes.len());
                    self.attention.place.store(self.delivery.place().0, Ordering::Relaxed);
                    self.waiting.push_back(bytes);
                }
                Step::Heartbeat => {
                    let bytes = heartbeat().body();
                    self.delivery.sent_heartbeat(bytes.len());
                    self.waiting.push_back(bytes);
                }
                Step::End(end) => {
                    self.delivery.ended(end);
                    self.is_over = true;
                    self.waiting.extend(self.delivery.farewell(end).map(|frame| frame.body()));
                }
            }
        }
    }
}

/// One piece of many small frames: a frame each would be a DATA frame each, and some HTTP/2 clients close a
/// connection that brings many tiny ones.
fn join(taken: &Taken) -> Bytes {
    if let [frame] = taken.frames.as_slice() {
        return frame.body();
    }
    let mut joined = BytesMut::with_capacity(taken.frames.iter().map(|frame| frame.len()).sum());
    for frame in &taken.frames {
        joined.extend_from_slice(&frame.body());
    }
    joined.freeze()
}

/// Completes when the response must be dropped because its client does not let it end; never once the body is gone: a
/// finite response leaves its connection to the next request, and the guard with it.
pub async fn guard(life: Life, attention: Weak<Attention>, stream: Arc<EventStream>, stall: Duration, ending: Ending) {
    let end = tokio::select! {
        end = life.over() => {
            // The body has been woken by the same; if the client takes the rest, it ends by itself.
            sleep(GRACE).await;
            (attention.strong_count() > 0).then_some(end)
        }
        is_stalled = stalled(&attention, &stream, stall) => is_stalled.then_some(End::Stalled),
    };
    // The log must not be held for a connection that has other things to do.
    drop(stream);
    match end {
        Some(end) => ending.set(end),
        None => std::future::pending().await,
    }
}

/// Completes when events have been waiting for `stall` without the body being asked for them; `false`: it is gone.
async fn stalled(attention: &Weak<Attention>, stream: &EventStream, stall: Duration) -> bool {
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
