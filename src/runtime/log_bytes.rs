//! The bytes of all event logs in sum, and how many they may be.
//!
//! One number, changed where a log is: appended to, evicted from, dropped. Does not know the logs: see the registry for
//! who gives way when they are too many.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of all event logs in sum.
#[derive(Debug)]
pub struct LogBytes {
    total: AtomicU64,
    /// The most that were ever total.
    peak: AtomicU64,
    most: AtomicU64,
    /// How often logs had to give way.
    evictions: AtomicU64,
}

impl Default for LogBytes {
    /// Nothing total, and no bound.
    fn default() -> Self {
        Self { total: 0.into(), peak: 0.into(), most: u64::MAX.into(), evictions: 0.into() }
    }
}

impl LogBytes {
    /// At most so many from now on.
    pub fn set_limit(&self, most: u64) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// A log that total `before` holds `now`.
    pub fn update(&self, before: u64, now: u64) {
        if now < before {
            self.total.fetch_sub(before - now, Ordering::Relaxed);
            return;
        }
        let total = self.total.fetch_add(now - before, Ordering::Relaxed) + (now - before);
        if total > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(total, Ordering::Relaxed);
        }
    }

    /// How many are total now.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// How many were total once and are not any more: an allocator may still have the pages.
    pub fn released(&self) -> u64 {
        self.peak.load(Ordering::Relaxed).saturating_sub(self.total())
    }

    /// Whether more are total than may be.
    pub fn is_above(&self) -> bool {
        self.total() > self.most.load(Ordering::Relaxed)
    }

    /// How many logs have to come down to when they are above: an eighth below, so that it is not looked for at each append.
    pub fn eviction_target(&self) -> u64 {
        self.most.load(Ordering::Relaxed) / 8 * 7
    }

    /// Counts that logs had to give way.
    pub fn record_eviction(&self) {
        self.evictions.fetch_add(1, Ordering::Relaxed);
    }

    /// How often logs had to give way.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }
}
