//! The budget of work that a task may do before it yields to others on the same worker.
//!
//! A peer that always has data ready would otherwise occupy the worker, and the sockets and timers of other clients
//! would starve. A turn is the time between two yields of a task. The budget only counts; its owner yields.

use std::pin::pin;
use std::task::Context;
use std::time::{Duration, Instant};

/// The work done in the current turn. Bounded by bytes, by items and by time, whichever is first.
///
/// An item is a unit of work with a cost of its own: a read of an upstream, a request of a client.
#[derive(Debug, Default)]
pub struct TurnBudget {
    bytes: usize,
    items: usize,
    /// The time of the first item.
    since: Option<Instant>,
    is_spent: bool,
}

impl TurnBudget {
    /// Charges one item with so many bytes. Reads the clock, so it is too expensive for each event and client.
    pub fn spend(&mut self, bytes: usize) {
        self.spend_at(bytes, Instant::now());
    }

    fn spend_at(&mut self, bytes: usize, now: Instant) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.items += 1;
        self.check_time(now);
        self.is_spent |= self.bytes >= TURN_BYTES || self.items >= TURN_ITEMS;
    }

    fn check_time(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        self.is_spent |= now.saturating_duration_since(since) >= TURN_TIME;
    }

    /// Returns true if the task should yield.
    pub fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Begins a new turn. Called after a wait for the peer, which has let others run.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Yields to other tasks if the budget is spent.
    pub async fn yield_if_spent(&mut self) {
        if self.since.is_some() {
            self.check_time(Instant::now());
        }
        if self.renew_if_spent() {
            tokio::task::yield_now().await;
        }
    }

    /// Begins a new turn if the budget is spent. Returns true then, and the task has to yield.
    pub fn renew_if_spent(&mut self) -> bool {
        let is_spent = self.is_spent;
        if is_spent {
            self.reset();
        }
        is_spent
    }
}

/// Wakes the task of `cx` after the worker has polled its sockets and timers. For futures that are polled by hand.
///
/// A task that wakes itself is queued at once, and would run some 60 times before the worker looks at sockets and
/// timers again. `yield_now` hands its waker to the worker, which wakes it after that.
pub fn defer_wake(cx: &mut Context<'_>) {
    // Pending at the first poll, which has registered the waker.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

/// Most bytes of a turn. Well below a millisecond of parsing and publishing.
const TURN_BYTES: usize = 64 * 1024;

/// Most items of a turn. Twice the default of `limits.h2_streams`, because accepting and answering a request are items of
/// their own. A client whose requests are spread over turns is woken, and written to, in as many parts for each event.
const TURN_ITEMS: usize = 512;

/// The longest time of a turn, checked after each item.
const TURN_TIME: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use super::*;
    use crate::runtime::tasks::Tasks;

    #[test]
    fn a_turn_ends_after_so_many_bytes() {
        let (mut budget, now) = (TurnBudget::default(), Instant::now());

        budget.spend_at(TURN_BYTES - 1, now);
        assert!(!budget.is_spent());
        budget.spend_at(1, now);
        assert!(budget.is_spent());
    }

    #[test]
    fn a_turn_ends_after_so_many_items() {
        let (mut budget, now) = (TurnBudget::default(), Instant::now());

        (1..TURN_ITEMS).for_each(|_| budget.spend_at(0, now));
        assert!(!budget.is_spent());
        budget.spend_at(0, now);
        assert!(budget.is_spent());
    }

    #[test]
    fn a_turn_ends_after_so_much_time() {
        let (mut budget, now) = (TurnBudget::default(), Instant::now());

        budget.spend_at(1, now);
        budget.spend_at(1, now + TURN_TIME.saturating_sub(Duration::from_nanos(1)));
        assert!(!budget.is_spent());
        budget.spend_at(1, now + TURN_TIME);
        assert!(budget.is_spent());

        budget.reset();
        assert!(!budget.is_spent());
    }

    /// Returns how often a task of 1 ms of work ran while a timer of 1 ms waited to be polled.
    #[expect(clippy::disallowed_methods, reason = "the work of the test")]
    async fn polls_before_a_timer(yields: fn(&mut Context<'_>)) -> usize {
        let (tasks, polls) = (Tasks::default(), Arc::new(AtomicUsize::new(0)));
        let counted = polls.clone();
        tasks.spawn("working", async move {
            poll_fn(|cx| {
                std::thread::sleep(Duration::from_millis(1));
                yields(cx);
                // The end of the test, if the timer never runs.
                if counted.fetch_add(1, Ordering::Relaxed) < 1000 { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        });
        while polls.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }

        let before = polls.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(1)).await;
        polls.load(Ordering::Relaxed) - before
    }

    #[tokio::test]
    async fn a_timer_runs_after_a_deferred_wake_and_long_after_a_plain_one() {
        let deferred = polls_before_a_timer(defer_wake).await;
        let plain = polls_before_a_timer(|cx| cx.waker().wake_by_ref()).await;

        assert!(deferred < 10 && plain > 20, "{deferred}, {plain}");
    }

    #[tokio::test]
    async fn a_new_turn_begins_after_the_yield() {
        let mut budget = TurnBudget::default();
        budget.spend(TURN_BYTES);
        assert!(budget.is_spent());

        budget.yield_if_spent().await;

        assert!(!budget.is_spent());
    }
}
