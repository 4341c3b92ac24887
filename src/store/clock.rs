//! One moment on both clocks: what is in memory is dated by the monotonic one, what is on disk by the wall's.
//!
//! A wall clock that was set back makes stored events look younger, never older than they are kept for.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    instant: Instant,
    /// Milliseconds of Unix time.
    pub wall: u64,
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), wall: milliseconds(wall) }
    }

    /// An instant's date.
    pub fn date(&self, at: Instant) -> u64 {
        self.wall.saturating_sub(milliseconds(self.instant.saturating_duration_since(at)))
    }

    /// The instant of a date. What is further back than the system can tell is as old as it can tell.
    pub fn instant(&self, date: u64) -> Instant {
        self.instant.checked_sub(self.since(date)).unwrap_or(self.instant)
    }

    /// How long ago a date was; nothing if it is to come.
    pub fn since(&self, date: u64) -> Duration {
        Duration::from_millis(self.wall.saturating_sub(date))
    }
}

/// Whole milliseconds, as many as a number can say.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
