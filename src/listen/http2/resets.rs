//! How many of its requests a client takes back on one HTTP/2 connection (RST_STREAM; RFC 9113, 6.4).
//!
//! Leaving a stream is a client's right, and a page that is left leaves many. But each costs a request's whole work and,
//! while the connection's window is shut, memory that h2 does not give back: a client that does little else is asked to
//! leave, and one that goes on is left.

use std::time::Duration;

use tokio::time::Instant;

/// Counts one connection's.
#[derive(Debug)]
pub(in crate::listen) struct ResetCounter {
    /// Most in a minute; `None`: a trusted proxy's connection, which many clients share.
    max_per_minute: Option<u32>,
    count: u32,
    window_start: Instant,
}

/// What is done about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::listen) enum ResetLevel {
    /// Nothing.
    Allowed,
    /// It takes no more requests.
    Excessive,
    /// It is closed: it was told to leave and went on.
    Abusive,
}

const MINUTE: Duration = Duration::from_secs(60);

impl ResetCounter {
    pub(in crate::listen) fn new(max_per_minute: Option<u32>) -> Self {
        Self { max_per_minute, count: 0, window_start: Instant::now() }
    }

    /// One more, now.
    pub(in crate::listen) fn record(&mut self, now: Instant) {
        if self.level() == ResetLevel::Allowed && now.duration_since(self.window_start) >= MINUTE {
            (self.count, self.window_start) = (0, now);
        }
        self.count = self.count.saturating_add(1);
    }

    pub(in crate::listen) fn level(&self) -> ResetLevel {
        match self.max_per_minute {
            Some(max_per_minute) if self.count > max_per_minute.saturating_mul(2) => ResetLevel::Abusive,
            Some(max_per_minute) if self.count > max_per_minute => ResetLevel::Excessive,
            Some(_) | None => ResetLevel::Allowed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_minute_s_budget_comes_back_until_it_is_spent() {
        let mut resets = ResetCounter::new(Some(10));
        let begun = Instant::now();
        for second in 0..300 {
            resets.record(begun + Duration::from_secs(6 * second));
            assert_eq!(resets.level(), ResetLevel::Allowed);
        }

        let now = begun + Duration::from_secs(2000);
        let levels = (0..21).map(|_| {
            resets.record(now);
            resets.level()
        });

        let expected =
            [[ResetLevel::Allowed; 10].as_slice(), &[ResetLevel::Excessive; 10], &[ResetLevel::Abusive]].concat();
        assert_eq!(levels.collect::<Vec<_>>(), expected);
        resets.record(now + 2 * MINUTE);
        assert_eq!(resets.level(), ResetLevel::Abusive, "it does not come back");
    }

    #[test]
    fn a_trusted_proxy_may_reset_as_it_likes() {
        let mut resets = ResetCounter::new(None);

        (0..100_000).for_each(|_| resets.record(Instant::now()));

        assert_eq!(resets.level(), ResetLevel::Allowed);
    }
}
