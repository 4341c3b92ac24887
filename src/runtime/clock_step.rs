//! Detection of steps of the wall clock.
//!
//! Tokens expire by the wall clock, and the timers of open responses run on the monotonic clock. The two part when the
//! wall clock is set, and when the machine was suspended.

use std::time::{Duration, Instant, SystemTime};

/// The smallest step that counts. Corrections by a time server are slewed, or smaller.
const MIN_STEP: Duration = Duration::from_secs(1);

/// Compares the wall clock with the monotonic clock.
#[derive(Debug)]
pub struct ClockStep {
    monotonic: Instant,
    wall: SystemTime,
}

impl ClockStep {
    /// Starts from the present.
    pub fn new() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// Returns true if the wall clock has moved at least a second more or less than the monotonic clock since the last
    /// call. Call it at least once a minute.
    pub fn poll_stepped(&mut self) -> bool {
        self.has_stepped(Instant::now(), SystemTime::now())
    }

    fn has_stepped(&mut self, monotonic: Instant, wall: SystemTime) -> bool {
        let elapsed = monotonic.saturating_duration_since(self.monotonic);
        let expected = self.wall.checked_add(elapsed).unwrap_or(self.wall);
        let step = match wall.duration_since(expected) {
            Ok(ahead) => ahead,
            Err(behind) => behind.duration(),
        };
        (self.monotonic, self.wall) = (monotonic, wall);
        step >= MIN_STEP
    }
}

impl Default for ClockStep {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_has_stepped_once_and_a_slewed_one_has_not() {
        let mut clock = ClockStep::new();
        let (monotonic, wall) = (clock.monotonic, clock.wall);
        let seconds = Duration::from_secs;

        assert!(!clock.has_stepped(monotonic + seconds(60), wall + seconds(60)));
        assert!(!clock.has_stepped(monotonic + seconds(120), wall + Duration::from_millis(120_999)), "slewed");
        assert!(clock.has_stepped(monotonic + seconds(121), wall + seconds(3721)), "an hour ahead");
        assert!(!clock.has_stepped(monotonic + seconds(122), wall + seconds(3722)));
        assert!(clock.has_stepped(monotonic + seconds(123), wall + seconds(123)), "and back");
    }
}
