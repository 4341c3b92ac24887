//! The order in which the origins of an upstream are tried.
//!
//! Requests take turns among the origins. One that could not be connected to is tried last for a while. Nothing is
//! probed: the next request after that time finds out.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// The time for which an origin that could not be connected to is tried last.
const FAILED_FOR: Duration = Duration::from_secs(10);

/// The states of the origins, by their index.
#[derive(Debug)]
pub(super) struct Origins {
    /// Until when each is tried last, in milliseconds since `epoch`.
    failed_until: Vec<AtomicU64>,
    next: AtomicUsize,
    epoch: Instant,
}

impl Origins {
    pub(super) fn new(count: usize) -> Self {
        let failed_until = (0..count).map(|_| AtomicU64::new(0)).collect();
        Self { failed_until, next: AtomicUsize::new(0), epoch: Instant::now() }
    }

    /// Returns the indices of all origins in the order in which the next request tries them.
    pub(super) fn order(&self) -> Vec<usize> {
        let count = self.failed_until.len();
        if count == 1 {
            return vec![0];
        }
        let (first, now) = (self.next.fetch_add(1, Relaxed), self.now());
        let in_turn = (0..count).map(|step| first.wrapping_add(step) % count);
        let (mut order, failed): (Vec<_>, Vec<_>) =
            in_turn.partition(|index| self.failed_until[*index].load(Relaxed) <= now);
        order.extend(failed);
        order
    }

    /// Records that an origin could not be connected to.
    pub(super) fn note_failed(&self, index: usize) {
        self.failed_until[index].store(self.now() + FAILED_FOR.as_millis() as u64, Relaxed);
    }

    /// Records that an origin has answered.
    pub(super) fn note_answered(&self, index: usize) {
        self.failed_until[index].store(0, Relaxed);
    }

    fn now(&self) -> u64 {
        // The epoch is a while before any failure, so 0 is never after now.
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn origins_take_turns_and_one_that_failed_is_last_for_a_while() {
        let origins = Origins::new(3);
        assert_eq!([origins.order(), origins.order()], [vec![0, 1, 2], vec![1, 2, 0]]);

        origins.note_failed(1);

        assert_eq!([origins.order(), origins.order()], [vec![2, 0, 1], vec![0, 2, 1]]);
        tokio::time::advance(FAILED_FOR).await;
        assert_eq!(origins.order(), [1, 2, 0]);
        origins.note_failed(2);
        origins.note_answered(2);
        assert_eq!(origins.order(), [2, 0, 1]);
    }
}
