//! The ledger of memory: how much of each kind is held, compared with `limits.memory`.
//!
//! A change is one atomic addition to its kind. The sum is computed when it is compared, because it is compared less
//! often. The bound is an atomic that a reload sets, so that an append does not load the limits. The ledger frees
//! nothing: those who hold the memory ask for the level and act.

use std::sync::atomic::{AtomicU64, Ordering};

use super::kind::MemoryKind;

/// The memory that is held, by kind, and its bound.
#[derive(Debug)]
pub struct MemoryLedger {
    /// `u64::MAX` if there is none.
    bound: AtomicU64,
    held: [AtomicU64; MemoryKind::ALL.len()],
    /// The number of times that logs were shrunk to respect the bound.
    reductions: AtomicU64,
}

/// The share of the bound that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryLevel {
    /// Below 80 %.
    Normal,
    /// From 80 % on: logs without readers are emptied.
    High,
    /// From 90 % on: logs with readers lose their older halves.
    Critical,
    /// From 100 % on: nothing new is admitted, and those who hold more than their part are disconnected.
    Full,
}

impl MemoryLedger {
    /// Creates an empty ledger. Without a bound the level is always [`MemoryLevel::Normal`].
    pub fn new(bound: Option<u64>) -> Self {
        let ledger = Self { bound: AtomicU64::default(), held: Default::default(), reductions: AtomicU64::default() };
        ledger.set_bound(bound);
        ledger
    }

    /// Sets the bound in bytes.
    pub fn set_bound(&self, bound: Option<u64>) {
        self.bound.store(bound.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns the bound in bytes, if there is one.
    pub fn bound(&self) -> Option<u64> {
        Some(self.bound.load(Ordering::Relaxed)).filter(|bound| *bound < u64::MAX)
    }

    /// Records that something of this kind changed its size from `before` to `now` bytes.
    pub fn update(&self, kind: MemoryKind, before: u64, now: u64) {
        let held = &self.held[kind as usize];
        if now < before {
            held.fetch_sub(before - now, Ordering::Relaxed);
        } else if now > before {
            held.fetch_add(now - before, Ordering::Relaxed);
        }
    }

    /// Returns the bytes of this kind that are held.
    pub fn held(&self, kind: MemoryKind) -> u64 {
        self.held[kind as usize].load(Ordering::Relaxed)
    }

    /// Returns the bytes of all kinds together.
    pub fn total(&self) -> u64 {
        self.held.iter().fold(0, |sum, held| sum.saturating_add(held.load(Ordering::Relaxed)))
    }

    /// Returns the level of what is held.
    pub fn level(&self) -> MemoryLevel {
        let (bound, total) = (self.bound.load(Ordering::Relaxed), self.total());
        match total {
            _ if total < MemoryLevel::High.threshold(bound) => MemoryLevel::Normal,
            _ if total < MemoryLevel::Critical.threshold(bound) => MemoryLevel::High,
            _ if total < bound => MemoryLevel::Critical,
            _ => MemoryLevel::Full,
        }
    }

    /// Returns the total at which the reduction of this level stops: a sixteenth of the bound below the level's
    /// beginning, so that not every append starts it again.
    pub fn target(&self, level: MemoryLevel) -> u64 {
        let bound = self.bound.load(Ordering::Relaxed);
        level.threshold(bound).saturating_sub(bound / 16)
    }

    /// Returns the most that one connection may hold while the level is [`MemoryLevel::Full`]: 1/64 of the bound, at
    /// least 1 MiB.
    pub fn part(&self) -> u64 {
        (self.bound.load(Ordering::Relaxed) / PARTS).max(MIN_PART)
    }

    /// Counts that logs were shrunk to respect the bound.
    pub fn record_reduction(&self) {
        self.reductions.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of times that logs were shrunk to respect the bound.
    pub fn reductions(&self) -> u64 {
        self.reductions.load(Ordering::Relaxed)
    }
}

impl MemoryLevel {
    /// Returns the bytes at which this level begins under this bound.
    fn threshold(self, bound: u64) -> u64 {
        match self {
            Self::Normal => 0,
            Self::High => bound / 10 * 8,
            Self::Critical => bound / 10 * 9,
            Self::Full => bound,
        }
    }
}

/// The number of equal parts of the bound, of which one connection may hold one.
const PARTS: u64 = 64;

/// The least that a connection may hold in bytes, whatever the bound.
const MIN_PART: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_follows_the_sum_of_all_kinds_and_the_bound_in_force() {
        let ledger = MemoryLedger::new(Some(1000));
        let level_at = |total: u64| {
            // A part of it in each kind.
            for (kind, now) in MemoryKind::ALL.into_iter().zip([total / 2, total - total / 2, 0, 0, 0, 0, 0]) {
                ledger.update(kind, ledger.held(kind), now);
            }
            ledger.level()
        };

        let levels = [0, 799, 800, 899, 900, 999, 1000, 5000].map(level_at);

        use MemoryLevel::{Critical, Full, High, Normal};
        assert_eq!(levels, [Normal, Normal, High, High, Critical, Critical, Full, Full]);
        ledger.set_bound(Some(50_000));
        assert_eq!(ledger.level(), Normal);
        ledger.set_bound(None);
        assert_eq!((ledger.level(), ledger.bound()), (Normal, None));
    }
}
