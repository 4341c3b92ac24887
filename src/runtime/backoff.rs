//! Delays between attempts: exponential backoff with full jitter.
//!
//! Pure: the caller passes the random number in, so the same input gives the same delay. Counts attempts and nothing
//! else.

use std::time::Duration;

use super::arithmetic;

/// The growth of delays. The delay before attempt n is uniform in `0..=min(max, initial * 2^n)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Upper bound of the first delay. Default 500 ms. An upstream's own `retry:` replaces it.
    pub initial: Duration,
    /// Upper bound of every delay. Default 30 s.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_millis(500), max: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// Returns the delay after `failures` failures in a row (0 for the first). `random` is uniform in `0.0..1.0`.
    ///
    /// The delay is at least a tenth of its bound. Otherwise several tiny draws in a row would make a hot loop.
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let factor = 1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX);
        let bound = self.initial.saturating_mul(factor).min(self.max);
        arithmetic::scale(bound, random.max(0.1)).min(bound)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_delay_exceeds_the_maximum(
            initial in any::<Duration>(),
            max in any::<Duration>(),
            failures in any::<u32>(),
            random in 0.0..1.0,
        ) {
            let delay = Backoff { initial, max }.delay(failures, random);

            prop_assert!(delay <= max, "{delay:?}");
        }
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let backoff = Backoff { initial: Duration::from_millis(500), max: Duration::from_secs(3) };

        let bounds: Vec<_> = [0, 1, 2, 3, 40, u32::MAX].map(|n| backoff.delay(n, 1.0).as_millis()).into();

        assert_eq!(bounds, [500, 1000, 2000, 3000, 3000, 3000]);
    }

    #[test]
    fn jitter_is_full_with_a_minimum_delay() {
        let backoff = Backoff::default();

        assert_eq!(backoff.delay(0, 0.5), Duration::from_millis(250));
        assert_eq!(backoff.delay(0, 0.0), Duration::from_millis(50));
    }
}
