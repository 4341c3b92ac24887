//! The total size of all event logs, compared with `limits.memory`.
//!
//! The total changes with each append to, eviction from and drop of a log. This counter does not know the logs:
//! `stream/log_memory.rs` decides which of them shrink when the total exceeds the bound.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::SharedLimits;

/// The total size of all event logs, in bytes. Its bound is the one in force.
#[derive(Debug)]
pub struct LogBytes {
    limits: SharedLimits,
    total: AtomicU64,
    /// The largest total so far.
    peak: AtomicU64,
    /// The number of times that logs were shrunk to respect the bound.
    evictions: AtomicU64,
}

impl LogBytes {
    /// Starts at zero.
    pub fn new(limits: SharedLimits) -> Self {
        Self { limits, total: 0.into(), peak: 0.into(), evictions: 0.into() }
    }

    /// Records that the size of one log changed from `before` to `now`.
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

    /// Returns the current total in bytes.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Returns how many bytes the total is below its peak. An allocator may still hold their pages.
    pub fn released(&self) -> u64 {
        self.peak.load(Ordering::Relaxed).saturating_sub(self.total())
    }

    /// Whether the total exceeds the bound.
    pub fn is_above(&self) -> bool {
        self.bound().is_some_and(|bound| self.total() > bound)
    }

    /// Returns the total at which shrinking stops: an eighth below the bound, so that not every append starts it again.
    /// Without a bound, nothing has to shrink.
    pub fn eviction_target(&self) -> u64 {
        self.bound().map_or(u64::MAX, |bound| bound / 8 * 7)
    }

    fn bound(&self) -> Option<u64> {
        self.limits.load().memory
    }

    /// Counts that logs were shrunk to respect the bound.
    pub fn record_eviction(&self) {
        self.evictions.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of times that logs were shrunk to respect the bound.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }
}
