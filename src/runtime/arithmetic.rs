//! Arithmetic on numbers that somebody else chose: a configuration, an upstream, a token.
//!
//! Nothing here panics, whatever it is given. What the standard library has for the same purpose does when its
//! preconditions are not met, and clippy.toml forbids it.

use std::time::Duration;

/// The number, at least `least` and at most `most`. Where the two contradict each other, `most` counts.
pub fn clamp<T: Ord>(number: T, least: T, most: T) -> T {
    number.max(least).min(most)
}

/// The duration times `factor`. Below zero and what is no number count as zero, what is too long as the longest there is.
pub fn scale(duration: Duration, factor: f64) -> Duration {
    // `max` takes the other one for what is no number.
    let seconds = (duration.as_secs_f64() * factor).max(0.0);
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradicting_bounds_are_no_panic() {
        assert_eq!([clamp(1, 5, 10), clamp(7, 5, 10), clamp(12, 5, 10)], [5, 7, 10]);
        assert_eq!([clamp(1, 10, 5), clamp(7, 10, 5), clamp(12, 10, 5)], [5, 5, 5]);
    }

    #[test]
    fn a_duration_times_anything_is_a_duration() {
        let second = Duration::from_secs(1);

        assert_eq!(scale(second, 1.5), Duration::from_millis(1500));
        assert_eq!([f64::NAN, -1.0, f64::NEG_INFINITY].map(|factor| scale(second, factor)), [Duration::ZERO; 3]);
        assert_eq!([f64::INFINITY, f64::MAX].map(|factor| scale(second, factor)), [Duration::MAX; 2]);
        assert_eq!(scale(Duration::MAX, 1.5), Duration::MAX);
    }
}
