//! Random numbers of one seed (SplitMix64).

use std::time::Duration;

use parking_lot::Mutex;

/// Random numbers of one seed, shared by all that draw from it.
#[derive(Debug)]
pub(in crate::cluster) struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// Begins the sequence of this seed.
    pub(in crate::cluster) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// Returns 64 random bits.
    pub(in crate::cluster) fn bits(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`, which is not 0.
    pub(in crate::cluster) fn below(&self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// Returns true with this probability.
    pub(in crate::cluster) fn has(&self, probability: f64) -> bool {
        ((self.bits() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    /// Returns a time between two bounds in milliseconds, both included.
    pub(in crate::cluster) fn pause(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }
}
