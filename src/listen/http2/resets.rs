//! How many of its requests a client takes back on one HTTP/2 connection (RST_STREAM; RFC 9113, 6.4).
//!
//! Leaving a stream is a client's right, and a page that is left leaves many. But each costs a request's whole work and,
//! while the connection's window is shut, memory that h2 does not give back: a client that does little else is asked to
//! leave, and one that goes on is left.

use std::time::Duration;

use tokio::time::Instant;

/// Counts one connection's.
#[derive(Debug)]
pub(in crate::listen) struct Resets {
    /// Most in a minute; `None`: a trusted proxy's connection, which many clients share.
    most: Option<u32>,
    count: u32,
    since: Instant,
}

/// What is done about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::listen) enum Budget {
    /// Nothing.
    Kept,
    /// It takes no more requests.
    Spent,
    /// It is closed: it was told to leave and went on.
    Overdrawn,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Resets {
    pub(in crate::listen) fn new(most: Option<u32>) -> Self {
        Self { most, count: 0, since: Instant::now() }
    }

    /// One more, now.
    pub(in crate::listen) fn add(&mut self, now: Instant) {
        if self.budget() == Budget::Kept && now.duration_since(self.since) >= MINUTE {
            (self.count, self.since) = (0, now);
        }
        self.count = self.count.saturating_add(1);
    }

    pub(in crate::listen) fn budget(&self) -> Budget {
        match self.most {
            Some(most) if self.count > most.saturating_mul(2) => Budget::Overdrawn,
            Some(most) if self.count > most => Budget::Spent,
            Some(_) | None => Budget::Kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_minute_s_budget_comes_back_until_it_is_spent() {
        let mut resets = Resets::new(Some(10));
        let begun = Instant::now();
        for second in 0..300 {
            resets.add(begun + Duration::from_secs(6 * second));
            assert_eq!(resets.budget(), Budget::Kept);
        }

        let now = begun + Duration::from_secs(2000);
        let budgets = (0..21).map(|_| {
            resets.add(now);
            resets.budget()
        });

        let expected = [[Budget::Kept; 10].as_slice(), &[Budget::Spent; 10], &[Budget::Overdrawn]].concat();
        assert_eq!(budgets.collect::<Vec<_>>(), expected);
        resets.add(now + 2 * MINUTE);
        assert_eq!(resets.budget(), Budget::Overdrawn, "it does not come back");
    }

    #[test]
    fn a_trusted_proxy_may_reset_as_it_likes() {
        let mut resets = Resets::new(None);

        (0..100_000).for_each(|_| resets.add(Instant::now()));

        assert_eq!(resets.budget(), Budget::Kept);
    }
}
