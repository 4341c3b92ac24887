//! Limits how often each owner may do something: a token bucket for each owner.
//!
//! An owner whose bucket is full needs no entry.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::token_bucket::{TokenBucket, TokenRate};

/// Most owners that have a bucket of their own. Further ones share one bucket until others are full again.
const MAX_OWNERS: usize = 10_000;

/// The time for which unused tokens add up.
const BURST: Duration = Duration::from_secs(10);

/// The shortest time between two removals of full buckets.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);

/// Token buckets by owner. Each holds ten seconds' worth of tokens.
#[derive(Debug)]
pub struct TokenBuckets<Owner> {
    /// Never held across an await.
    state: Mutex<State<Owner>>,
}

#[derive(Debug)]
struct State<Owner> {
    own: HashMap<Owner, TokenBucket>,
    /// The bucket of owners that have none of their own.
    others: TokenBucket,
    pruned_at: Option<Instant>,
}

/// The bucket is empty, and the next token comes too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverRate {
    /// The time after which a token may be available.
    pub retry_after: Duration,
}

impl<Owner> Default for TokenBuckets<Owner> {
    fn default() -> Self {
        Self { state: Mutex::new(State { own: HashMap::new(), others: TokenBucket::default(), pruned_at: None }) }
    }
}

impl<Owner: Eq + Hash> TokenBuckets<Owner> {
    /// Takes a token of `owner`, at `per_second`, and returns the time after which it may be used: zero unless the bucket
    /// is empty. A caller that gives up while it waits does not return its token.
    ///
    /// # Errors
    /// [`OverRate`] if that time exceeds `max_wait`. No token is taken.
    pub fn take(&self, owner: Owner, per_second: u32, max_wait: Duration) -> Result<Duration, OverRate> {
        let now = Instant::now();
        let interval = Duration::from_secs(1) / per_second.max(1);
        let taken = self.state.lock().bucket(owner, now).take(TokenRate { interval, burst: BURST }, now, max_wait);
        taken.map_err(|wait| OverRate { retry_after: wait.saturating_sub(max_wait) })
    }
}

impl<Owner: Eq + Hash> State<Owner> {
    fn bucket(&mut self, owner: Owner, now: Instant) -> &mut TokenBucket {
        let has_own = self.own.contains_key(&owner);
        if !has_own
            && self.own.len() >= MAX_OWNERS
            && self.pruned_at.is_none_or(|at| now.duration_since(at) >= PRUNE_INTERVAL)
        {
            self.own.retain(|_, bucket| !bucket.is_full(now));
            self.pruned_at = Some(now);
        }
        if has_own || self.own.len() < MAX_OWNERS { self.own.entry(owner).or_default() } else { &mut self.others }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_WAIT: Duration = Duration::ZERO;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_holds_ten_seconds_worth_and_then_follows_the_rate() {
        let buckets = TokenBuckets::default();

        let at_once = (0..1000).filter(|_| buckets.take("a", 20, NO_WAIT).is_ok()).count();

        assert_eq!(at_once, 200);
        assert!(buckets.take("b", 20, NO_WAIT).is_ok(), "each owner has a bucket");
        tokio::time::advance(Duration::from_secs(1)).await;
        let later = (0..1000).filter(|_| buckets.take("a", 20, NO_WAIT).is_ok()).count();
        assert_eq!(later, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_comes_in_time_is_waited_for_and_a_later_one_is_refused() {
        let buckets = TokenBuckets::default();
        (0..100).for_each(|_| assert!(buckets.take("a", 10, NO_WAIT).is_ok()));

        let waits: Vec<_> = (0..6).map(|_| buckets.take("a", 10, Duration::from_millis(500))).collect();

        let expected = [100, 200, 300, 400, 500].map(Duration::from_millis).map(Ok);
        assert_eq!(waits[..5], expected);
        assert_eq!(waits[5], Err(OverRate { retry_after: Duration::from_millis(100) }));
    }

    #[tokio::test(start_paused = true)]
    async fn owners_beyond_the_bound_share_a_bucket_until_others_are_full_again() {
        let buckets = TokenBuckets::default();
        (0..MAX_OWNERS).for_each(|owner| assert!(buckets.take(owner, 1, NO_WAIT).is_ok()));

        let strangers = (MAX_OWNERS..2 * MAX_OWNERS).filter(|owner| buckets.take(*owner, 1, NO_WAIT).is_ok()).count();

        assert_eq!(strangers, 10);
        assert_eq!(buckets.state.lock().own.len(), MAX_OWNERS);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert!(buckets.take(MAX_OWNERS, 1, NO_WAIT).is_ok());
        assert_eq!(buckets.state.lock().own.len(), 1);
    }
}
