//! A small pseudo-random generator (SplitMix64) for the demo's invented data.
//!
//! The same seed gives the same sequence. Not for secrets, and not for statistics: its distributions are approximate.

use std::time::Duration;

/// The state of one generator.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number that is uniform in `0.0..1.0`.
    pub(super) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number that is roughly normal: mean 0, standard deviation 1, never beyond ±3.
    pub(super) fn normal(&mut self) -> f64 {
        // A sum of 12 uniforms has variance 1. Three of them, doubled, are close enough for a chart.
        (self.uniform() + self.uniform() + self.uniform() - 1.5) * 2.0
    }

    /// Returns a duration between two bounds in milliseconds.
    pub(super) fn pause(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + (self.uniform() * to.saturating_sub(from) as f64) as u64)
    }

    /// Returns one of `choices`, which must not be empty.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[(self.uniform() * choices.len() as f64) as usize % choices.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut random = Random::seeded(7);

        for _ in 0..10_000 {
            assert!((0.0..1.0).contains(&random.uniform()));
            assert!(random.normal().abs() <= 3.0);
            assert!((10..=20).contains(&random.pause(10, 20).as_millis()));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let (mut one, mut two) = (Random::seeded(7), Random::seeded(7));

        assert_eq!([one.next(), one.next()], [two.next(), two.next()]);
    }
}
