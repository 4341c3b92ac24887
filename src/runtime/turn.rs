//! The budget of work that a task may do before it yields to others on the same worker.
//!
//! A peer that always has data ready would otherwise occupy the worker, and the sockets and timers of other clients
//! would starve. A turn is the time between two yields of a task. The budget only counts; its owner yields.

use std::time::{Duration, Instant};

use super::turn_owner::TurnOwner;
use super::turn_queue::next_turn;

/// The work done in the current turn. Bounded by bytes, by items and by time, whichever is first.
///
/// An item is a unit of work with a cost of its own: a read of an upstream, a request of a client.
#[derive(Debug, Default)]
pub struct TurnBudget {
    bytes: usize,
    items: usize,
    /// True for work that has not waited in the queue.
    is_unqueued: bool,
    /// The time of the first item.
    since: Option<Instant>,
    is_spent: bool,
}

impl TurnBudget {
    /// Returns the budget of work that has not waited in the queue of turns: few items and little time. Hundreds of peers may
    /// begin at the same moment.
    pub fn unqueued() -> Self {
        Self { is_unqueued: true, ..Self::default() }
    }

    /// Charges one item with so many bytes. Reads the clock, so it is too expensive for each event and client.
    pub fn spend(&mut self, bytes: usize) {
        self.spend_at(bytes, Instant::now());
    }

    fn spend_at(&mut self, bytes: usize, now: Instant) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.items += 1;
        self.check_time(now);
        self.is_spent |= self.bytes >= TURN_BYTES || self.items >= self.most().0;
    }

    fn check_time(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        self.is_spent |= now.saturating_duration_since(since) >= self.most().1;
    }

    /// Returns the most items, and the longest time.
    fn most(&self) -> (usize, Duration) {
        if self.is_unqueued { (UNQUEUED_ITEMS, UNQUEUED_TIME) } else { (TURN_ITEMS, TURN_TIME) }
    }

    /// Returns true if the task should yield.
    pub fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Begins a new turn. Called after a wait for the peer, which has let others run.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Waits for the next turn, which is one of `owner`, if the budget is spent.
    pub async fn yield_if_spent(&mut self, owner: &TurnOwner) {
        if self.has_ended() {
            self.reset();
            next_turn(owner).await;
        }
    }

    /// Returns true if the budget is spent by now, also by the time since the last item.
    pub fn has_ended(&mut self) -> bool {
        if self.since.is_some() {
            self.check_time(Instant::now());
        }
        self.is_spent
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

/// Most bytes of a turn. Well below a millisecond of parsing and publishing.
const TURN_BYTES: usize = 64 * 1024;

/// Most items of a turn. Twice the default of `limits.h2_streams`, because accepting and answering a request are items of
/// their own. A client whose requests are spread over turns is woken, and written to, in as many parts for each event.
const TURN_ITEMS: usize = 512;

/// Most items of work that has not waited in the queue: accepting and answering eight requests.
const UNQUEUED_ITEMS: usize = 16;

/// The longest time of a turn, checked after each item.
const TURN_TIME: Duration = Duration::from_millis(2);

/// The longest time of work that has not waited in the queue, checked after each item.
const UNQUEUED_TIME: Duration = Duration::from_micros(250);

#[cfg(test)]
mod tests {
    use super::*;

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
    fn work_that_has_not_waited_ends_after_few_items() {
        let (mut budget, now) = (TurnBudget::unqueued(), Instant::now());

        (1..UNQUEUED_ITEMS).for_each(|_| budget.spend_at(0, now));
        assert!(!budget.is_spent());
        budget.spend_at(0, now);
        assert!(budget.is_spent());

        budget.reset();
        assert_eq!(budget.most(), (TURN_ITEMS, TURN_TIME), "the next turn comes from the queue");
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

    #[tokio::test]
    async fn a_new_turn_begins_after_the_yield() {
        let mut budget = TurnBudget::default();
        budget.spend(TURN_BYTES);
        assert!(budget.is_spent());

        budget.yield_if_spent(&TurnOwner::Route("one".into())).await;

        assert!(!budget.is_spent());
    }
}
