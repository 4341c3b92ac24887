//! A rate limiter: a steady rate per second, with a burst of 10 ms' worth.
//!
//! It keeps a storm of connects from starving connected clients. The burst is small because a worker finishes all of it
//! before it serves them again.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::runtime::token_bucket::{TokenBucket, TokenRate};

/// Share of the rate that is available at once.
const BURST: Duration = Duration::from_millis(10);

/// Limits a rate, first come, first served.
#[derive(Debug, Default)]
pub struct RateLimiter {
    slots: Mutex<TokenBucket>,
}

impl RateLimiter {
    /// Waits for the next slot at a rate of `per_second`, which is at least 1. Calls `on_wait` first if there is a
    /// wait. A changed rate applies to slots that nobody waits for yet.
    ///
    /// A waiter that is dropped returns its slot. Otherwise a storm of clients that give up would delay everyone long
    /// after it has passed.
    pub async fn acquire(&self, per_second: u32, on_wait: impl FnOnce()) {
        let rate = spacing(per_second);
        let now = Instant::now();
        // No wait is too long.
        let (Ok(wait) | Err(wait)) = self.slots.lock().take(rate, now, Duration::MAX);
        if !wait.is_zero() {
            let reservation = Reservation(self, rate.interval);
            on_wait();
            sleep_until(now + wait).await;
            // The slot is used, so it is not returned.
            std::mem::forget(reservation);
        }
    }
}

/// The slot of a waiter. Dropping it returns the slot.
struct Reservation<'r>(&'r RateLimiter, Duration);

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.0.slots.lock().put_back(self.1);
    }
}

/// Returns the time between two slots, and the burst.
pub(super) fn spacing(per_second: u32) -> TokenRate {
    let interval = Duration::from_secs(1) / per_second.max(1);
    // The burst holds at least one slot.
    TokenRate { interval, burst: interval.max(BURST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_passes_at_the_rate_after_a_burst() {
        let limiter = RateLimiter::default();
        let start = Instant::now();
        let mut at_once = 0;

        for _ in 0..2010 {
            limiter.acquire(1000, || ()).await;
            at_once += usize::from(start.elapsed().is_zero());
        }

        assert_eq!(at_once, 10);
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_gives_up_returns_its_slot() {
        let limiter = RateLimiter::default();
        let patience = Duration::from_secs(1);
        let storm = (0..10_000).map(|_| tokio::time::timeout(patience, limiter.acquire(100, || ())));
        let waited = futures_util::future::join_all(storm).await.into_iter().filter(Result::is_ok).count();
        assert!((95..=105).contains(&waited), "{waited}");
        let start = Instant::now();

        limiter.acquire(100, || ()).await;

        assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_rate_applies_to_later_slots() {
        let limiter = RateLimiter::default();
        limiter.acquire(1, || ()).await;
        let start = Instant::now();

        for _ in 0..200 {
            limiter.acquire(100, || ()).await;
        }

        assert!((1800..=3100).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn unused_slots_are_not_saved() {
        let limiter = RateLimiter::default();
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();

        for _ in 0..1010 {
            limiter.acquire(1000, || ()).await;
        }

        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}
