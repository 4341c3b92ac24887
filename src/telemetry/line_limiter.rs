//! A bound on the log lines that clients can cause, by the second.
//!
//! Refusing a request is cheap for a client, and writing its line is not. So a second has so many lines, and the rest is
//! counted. Metrics count every refusal.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Counts the lines of one subject, such as a route.
#[derive(Debug)]
pub(super) struct LineLimiter {
    /// Most lines in a second.
    per_second: u32,
    /// Locked for a comparison, and never across an await.
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    start: Instant,
    lines: u32,
    suppressed: u64,
}

impl LineLimiter {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, window: Mutex::new(Window { start: Instant::now(), lines: 0, suppressed: 0 }) }
    }

    /// Takes one of the second's lines. Returns false if none is left; the line is then counted as suppressed.
    pub(super) fn acquire(&self, now: Instant) -> bool {
        let mut window = self.window.lock();
        if now.saturating_duration_since(window.start) >= Duration::from_secs(1) {
            (window.start, window.lines) = (now, 0);
        }
        let is_left = window.lines < self.per_second;
        match is_left {
            true => window.lines += 1,
            false => window.suppressed += 1,
        }
        is_left
    }

    /// Returns the number of lines that were suppressed since the last call.
    pub(super) fn take_suppressed(&self) -> u64 {
        std::mem::take(&mut self.window.lock().suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_lines_and_the_rest_is_counted() {
        let (limiter, begun) = (LineLimiter::new(10), Instant::now());

        let lines = (0..25).filter(|_| limiter.acquire(begun)).count();

        assert_eq!((lines, limiter.take_suppressed(), limiter.take_suppressed()), (10, 15, 0));
        assert!(limiter.acquire(begun + Duration::from_secs(2)), "another second");
    }
}
