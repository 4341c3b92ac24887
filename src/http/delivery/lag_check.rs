//! Ends the response of a client that takes its bytes too slowly to keep its place in the log.
//!
//! Such a client holds events that the log has evicted, and nothing bounds for how long: it takes some bytes now and
//! then, so it does not stall. The checks are at intervals; the timer belongs to the caller, which waits for the client's
//! stall as well.

use std::time::Duration;

use tokio::time::Instant;

use crate::listen::DEADLINE_INTERVAL;
use crate::stream::{EventStream, Offset};

/// Watches one client for which bytes wait. Its position does not change meanwhile.
#[derive(Debug)]
pub(crate) struct LagCheck {
    position: Offset,
    next: Instant,
    /// The time of the first check that found the client behind the log's start.
    since: Option<Instant>,
}

impl LagCheck {
    /// Starts to watch a client at this position.
    pub(crate) fn new(position: Offset) -> Self {
        Self { position, next: Instant::now() + DEADLINE_INTERVAL, since: None }
    }

    /// Returns the time of the next check.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Returns true if the client has been behind the start of the stream's log for `max_lag`, and while memory is full as
    /// soon as it is behind or holds an entry from before the start. `held_from` is the offset of the oldest entry that
    /// the client holds, if any. Looks at the log only when the next check is due.
    pub(crate) fn has_failed(&mut self, stream: &EventStream, held_from: Option<Offset>, max_lag: Duration) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        self.next = now + DEADLINE_INTERVAL;
        let is_memory_full = stream.is_memory_full();
        let oldest = held_from.filter(|_| is_memory_full).map_or(self.position, |held| held.min(self.position));
        if oldest >= stream.log().start() {
            return false;
        }
        let since = *self.since.get_or_insert(now);
        is_memory_full || now.duration_since(since) >= max_lag
    }
}
