//! Ends the response of a client that takes its bytes too slowly to keep its place in the log.
//!
//! Such a client holds events that the log has evicted, and nothing bounds for how long: it takes some bytes now and
//! then, so it does not stall. It needs a timer only while bytes wait for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::stream::{EventStream, Offset};

/// Watches one client for which bytes wait. Its position does not change meanwhile.
#[derive(Debug)]
pub(crate) struct LagCheck {
    stream: Arc<EventStream>,
    position: Offset,
    timer: Pin<Box<Sleep>>,
    /// The longest time that the client may be behind the log's start.
    max_lag: Duration,
    /// The time of the first check that found it there.
    since: Option<Instant>,
}

impl LagCheck {
    /// Starts to watch.
    pub(crate) fn new(stream: Arc<EventStream>, position: Offset, max_lag: Duration) -> Self {
        Self { stream, position, timer: Box::pin(sleep(CHECK_INTERVAL)), max_lag, since: None }
    }

    /// Completes when the client has been behind the log's start for too long. While memory is full, it completes as soon
    /// as the client is there, or holds an entry from before the log's start. `held_from` is the offset of the oldest entry
    /// that the client holds, if any.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, held_from: Option<Offset>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            self.timer.as_mut().reset(now + CHECK_INTERVAL);
            let is_memory_full = self.stream.is_memory_full();
            let oldest = held_from.filter(|_| is_memory_full).map_or(self.position, |held| held.min(self.position));
            if oldest >= self.stream.log().start() {
                continue;
            }
            let since = *self.since.get_or_insert(now);
            if is_memory_full || now.duration_since(since) >= self.max_lag {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

/// The time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
