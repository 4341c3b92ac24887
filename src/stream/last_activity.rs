//! The time of an upstream's last activity, for the operator. One atomic store per batch, no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time of the last bytes or the last answer of an upstream.
#[derive(Debug)]
pub struct LastActivity {
    made: Instant,
    /// Milliseconds from `made` to the last activity.
    at: AtomicU64,
}

impl LastActivity {
    /// Starts with an activity at `now`.
    pub fn new(now: Instant) -> Self {
        Self { made: now, at: AtomicU64::new(0) }
    }

    /// Records an activity.
    pub fn record(&self, now: Instant) {
        let at = now.saturating_duration_since(self.made).as_millis();
        self.at.store(u64::try_from(at).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns the time since the last activity.
    pub fn idle_for(&self, now: Instant) -> Duration {
        let at = Duration::from_millis(self.at.load(Ordering::Relaxed));
        now.saturating_duration_since(self.made).saturating_sub(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_activity_resets_the_idle_time() {
        let made = Instant::now();
        let at = |seconds| made + Duration::from_secs(seconds);
        let heard = LastActivity::new(made);

        assert_eq!(heard.idle_for(at(5)), Duration::from_secs(5));
        heard.record(at(7));
        assert_eq!((heard.idle_for(at(7)), heard.idle_for(at(10))), (Duration::ZERO, Duration::from_secs(3)));
        assert_eq!(heard.idle_for(made), Duration::ZERO);
    }
}
