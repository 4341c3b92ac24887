//! A steady rate: so many in a second, a tenth of a second's worth at once, the rest in turn.
//!
//! The generic cell rate algorithm: one number says when the next one is due, so waiting is fair and costs nothing to
//! those who do not wait. Used to keep a storm of connects from starving the clients that are there.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// See the module.
#[derive(Debug)]
pub struct Rate {
    interval: Duration,
    burst: Duration,
    /// When the next one would be due if all came evenly.
    due: Mutex<Instant>,
}

impl Rate {
    /// At most `per_second`, which is at least 1.
    pub fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        // At least one may always come at once.
        let burst = interval.max(Duration::from_millis(100));
        Self { interval, burst, due: Mutex::new(Instant::now()) }
    }

    /// Waits for its turn. A turn that is not waited for is lost, not given to another.
    pub async fn turn(&self) {
        let now = Instant::now();
        let at = {
            let mut due = self.due.lock();
            *due = (*due).max(now) + self.interval;
            *due
        };
        if let Some(early) = at.checked_sub(self.burst).filter(|early| *early > now) {
            sleep_until(early).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_passes_at_the_rate_after_a_burst() {
        let rate = Rate::new(100);
        let start = Instant::now();

        for _ in 0..210 {
            rate.turn().await;
        }

        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_time_is_not_saved_up() {
        let rate = Rate::new(100);
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();

        for _ in 0..110 {
            rate.turn().await;
        }

        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}
