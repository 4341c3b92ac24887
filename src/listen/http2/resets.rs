//! Counts the streams that a client resets on one HTTP/2 connection (RST_STREAM; RFC 9113, 6.4).
//!
//! A client may reset streams, and a closed page resets many. But each reset costs a request's whole work, and while
//! the connection's window is closed h2 does not free its memory. A client over the limit gets a GOAWAY. Over twice the
//! limit the connection is closed.

use std::time::Duration;

use tokio::time::Instant;

/// Counts the resets of one connection.
#[derive(Debug)]
pub(in crate::listen) struct ResetCounter {
    /// Most resets in a minute. `None` for a trusted proxy's connection, which many clients share.
    max_per_minute: Option<u32>,
    count: u32,
    window_start: Instant,
}

/// The consequence of a connection's resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::listen) enum ResetLevel {
    /// Within the limit.
    Allowed,
    /// Over the limit: the connection accepts no more requests.
    Excessive,
    /// Over twice the limit: the client went on after the GOAWAY, and the connection is closed.
    Abusive,
}

const MINUTE: Duration = Duration::from_secs(60);

impl ResetCounter {
    pub(in crate::listen) fn new(max_per_minute: Option<u32>) -> Self {
        Self { max_per_minute, count: 0, window_start: Instant::now() }
    }

    /// Records one reset.
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
    async fn resets_are_counted_by_the_minute_until_the_limit_is_exceeded() {
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
    fn a_trusted_proxy_has_no_limit_on_resets() {
        let mut resets = ResetCounter::new(None);

        (0..100_000).for_each(|_| resets.record(Instant::now()));

        assert_eq!(resets.level(), ResetLevel::Allowed);
    }
}
