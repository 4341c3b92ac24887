//! The turns of a task that a peer feeds: outside the queue while the peer sends little, and in the queue otherwise.
//!
//! A thousand peers may each have a little ready at the same moment. Together that is much, and a client that comes then
//! would wait for all of it. So a peer has only a small allowance outside the queue. Beyond it, its task does not even
//! read before its turn has come. A peer below its allowance never waits for those above theirs.

use std::time::{Duration, Instant};

use super::turn::TurnBudget;
use super::turn_owner::TurnOwner;
use super::turn_queue::next_turn;

/// The turns of one task. Its owner charges what it processes, and waits before it processes more.
#[derive(Debug)]
pub struct FeedTurns {
    owner: TurnOwner,
    turn: TurnBudget,
    /// Whether the turn has been waited for in the queue.
    is_queued: bool,
    /// Bytes of the current period outside the queue.
    bytes: usize,
    period: Instant,
}

impl FeedTurns {
    /// Starts with the whole allowance. The turns are those of `owner`.
    pub fn new(owner: TurnOwner, now: Instant) -> Self {
        Self { owner, turn: TurnBudget::default(), is_queued: false, bytes: 0, period: now }
    }

    /// Charges so many bytes of the peer. Reads the clock.
    pub fn spend(&mut self, bytes: usize) {
        self.turn.spend(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Returns true if the task should wait for its next turn before it processes more.
    pub fn is_spent(&self) -> bool {
        self.turn.is_spent() || self.needs_queue()
    }

    /// Returns true if the peer has used up its allowance and this is no turn of the queue.
    pub fn needs_queue(&self) -> bool {
        !self.is_queued && self.bytes >= ALLOWANCE_BYTES
    }

    /// Waits for the next turn if this one is spent: in the queue if the allowance is used up. Otherwise other tasks run
    /// once. Cancel-safe.
    pub async fn yield_if_spent(&mut self) {
        if self.needs_queue() || self.is_queued && self.turn.has_ended() {
            next_turn(&self.owner).await;
            (self.turn, self.is_queued) = (TurnBudget::default(), true);
        } else if self.turn.has_ended() {
            tokio::task::yield_now().await;
            self.turn.reset();
        }
    }

    /// Ends the turn, because the peer has nothing ready. The allowance is renewed once a period.
    pub fn end(&mut self, now: Instant) {
        self.turn.reset();
        self.is_queued = false;
        if now.saturating_duration_since(self.period) >= ALLOWANCE_PERIOD {
            (self.bytes, self.period) = (0, now);
        }
    }
}

/// Most bytes outside the queue in each period: 3 KB a second, which is more than most streams of events have.
const ALLOWANCE_BYTES: usize = 16 * 1024;

/// The period. A stream whose log must not grow for a while does not get a new allowance by that.
const ALLOWANCE_PERIOD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn owner() -> TurnOwner {
        TurnOwner::Route("one".into())
    }

    #[tokio::test]
    async fn a_peer_within_its_allowance_never_waits() {
        let mut turns = FeedTurns::new(owner(), Instant::now());

        for _ in 0..3 {
            turns.spend(ALLOWANCE_BYTES / 3);
            assert!(!turns.is_spent());
            assert!(turns.yield_if_spent().now_or_never().is_some());
            turns.end(Instant::now());
        }
    }

    #[tokio::test]
    async fn a_peer_above_it_waits_in_the_queue_for_each_turn() {
        let mut turns = FeedTurns::new(owner(), Instant::now());
        turns.spend(ALLOWANCE_BYTES);
        assert!(turns.is_spent() && turns.needs_queue());

        turns.yield_if_spent().await;
        assert!(!turns.is_spent());
        turns.spend(1);
        assert!(!turns.is_spent());

        turns.end(Instant::now());
        assert!(turns.needs_queue(), "also after a wait for the peer");
    }

    #[test]
    fn the_allowance_is_renewed_once_a_period() {
        let now = Instant::now();
        let mut turns = FeedTurns::new(owner(), now);
        turns.spend(ALLOWANCE_BYTES);

        turns.end(now + ALLOWANCE_PERIOD.saturating_sub(Duration::from_nanos(1)));
        assert!(turns.is_spent());
        turns.end(now + ALLOWANCE_PERIOD);

        assert!(!turns.is_spent());
    }
}
