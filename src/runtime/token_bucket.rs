//! A token bucket: a rate, with a burst of tokens that were not used.
//!
//! It is the generic cell rate algorithm: one number holds the time at which the bucket is full, so waiting is fair and a
//! token without a wait costs nothing. It does not wait and is not shared; its owner does that.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket. Default: full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenBucket {
    /// The time at which the bucket is full. `None` before the first token was taken.
    full_at: Option<Instant>,
}

/// The speed and the size of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRate {
    /// The time after which the bucket gains a token.
    pub interval: Duration,
    /// The time for which unused tokens add up, at least `interval`.
    pub burst: Duration,
}

impl TokenBucket {
    /// Takes a token, and returns the time after which it may be used: zero unless the bucket is empty.
    ///
    /// # Errors
    /// Returns that time if it exceeds `max_wait`. No token is taken.
    pub fn take(&mut self, rate: TokenRate, now: Instant, max_wait: Duration) -> Result<Duration, Duration> {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now)) + rate.interval;
        let wait = full_at.duration_since(now).saturating_sub(rate.burst);
        if wait > max_wait {
            return Err(wait);
        }
        self.full_at = Some(full_at);
        Ok(wait)
    }

    /// Returns a token that was not used.
    pub fn put_back(&mut self, interval: Duration) {
        if let Some(earlier) = self.full_at.and_then(|full_at| full_at.checked_sub(interval)) {
            self.full_at = Some(earlier);
        }
    }

    /// Whether every token is there.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|full_at| full_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_there_at_once_and_further_tokens_come_at_the_rate() {
        let (mut bucket, now) = (TokenBucket::default(), Instant::now());
        let rate = TokenRate { interval: SECOND, burst: 2 * SECOND };
        assert!(bucket.is_full(now));

        let waits: Vec<_> = (0..5).map(|_| bucket.take(rate, now, 2 * SECOND)).collect();

        assert_eq!(
            waits,
            [Ok(0), Ok(0), Ok(1), Ok(2), Err(3)].map(|wait| match wait {
                Ok(seconds) => Ok(seconds * SECOND),
                Err(seconds) => Err(seconds * SECOND),
            })
        );
        bucket.put_back(SECOND);
        assert_eq!(bucket.take(rate, now, 2 * SECOND), Ok(2 * SECOND), "a token that was put back is there again");
        assert!(!bucket.is_full(now + 3 * SECOND) && bucket.is_full(now + 4 * SECOND));
    }
}
