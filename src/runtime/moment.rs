//! Conversion between the clocks: memory uses monotonic instants, what is stored has dates.
//!
//! If the wall clock was set back, what was stored looks younger, so it is kept longer, never shorter.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    instant: Instant,
    /// The Unix time in milliseconds.
    pub wall: u64,
}

impl Moment {
    /// Returns the current moment.
    pub fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), wall: milliseconds(wall) }
    }

    /// Returns the moment of an instant that is not before the present one.
    pub fn at(instant: Instant) -> Self {
        let now = Self::now();
        let ahead = milliseconds(instant.saturating_duration_since(now.instant));
        Self { instant, wall: now.wall.saturating_add(ahead) }
    }

    /// Converts an instant to a date.
    pub fn date(&self, at: Instant) -> u64 {
        self.wall.saturating_sub(milliseconds(self.instant.saturating_duration_since(at)))
    }

    /// Converts a date to an instant. A date before the oldest instant that the system can represent is clamped to this
    /// moment.
    pub fn instant(&self, date: u64) -> Instant {
        self.instant.checked_sub(self.since(date)).unwrap_or(self.instant)
    }

    /// Returns the time since a date; zero for a date in the future.
    pub fn since(&self, date: u64) -> Duration {
        Duration::from_millis(self.wall.saturating_sub(date))
    }
}

/// Returns the whole milliseconds, clamped to `u64::MAX`.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
