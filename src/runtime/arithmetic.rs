//! Arithmetic on numbers from outside: a configuration, an upstream, a token.
//!
//! No function here panics, for any input. The standard library's counterparts panic when their preconditions do not
//! hold, so clippy.toml forbids them.

use std::time::Duration;

/// Returns the number, raised to `least` and lowered to `most`. `most` wins where the two contradict each other.
pub fn clamp<T: Ord>(number: T, least: T, most: T) -> T {
    number.max(least).min(most)
}

/// Returns the duration times `factor`. A negative factor or NaN gives zero, an overflow the longest duration.
pub fn scale(duration: Duration, factor: f64) -> Duration {
    // `f64::max` ignores NaN and returns the other operand.
    let seconds = (duration.as_secs_f64() * factor).max(0.0);
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradicting_bounds_do_not_panic() {
        assert_eq!([clamp(1, 5, 10), clamp(7, 5, 10), clamp(12, 5, 10)], [5, 7, 10]);
        assert_eq!([clamp(1, 10, 5), clamp(7, 10, 5), clamp(12, 10, 5)], [5, 5, 5]);
    }

    #[test]
    fn a_duration_times_any_factor_is_a_duration() {
        let second = Duration::from_secs(1);

        assert_eq!(scale(second, 1.5), Duration::from_millis(1500));
        assert_eq!([f64::NAN, -1.0, f64::NEG_INFINITY].map(|factor| scale(second, factor)), [Duration::ZERO; 3]);
        assert_eq!([f64::INFINITY, f64::MAX].map(|factor| scale(second, factor)), [Duration::MAX; 2]);
        assert_eq!(scale(Duration::MAX, 1.5), Duration::MAX);
    }
}
