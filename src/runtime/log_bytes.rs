//! The bytes of all event logs in sum, and how many they may be.
//!
//! One number, changed where a log is: appended to, evicted from, dropped. Does not know the logs: see the registry for
//! who gives way when they are too many.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of all event logs in sum.
#[derive(Debug)]
pub struct LogBytes {
    held: AtomicU64,
    /// The most that were ever held.
    peak: AtomicU64,
    most: AtomicU64,
    /// How often logs had to give way.
    reliefs: AtomicU64,
}

impl Default for LogBytes {
    /// Nothing held, and no bound.
    fn default() -> Self {
        Self { held: 0.into(), peak: 0.into(), most: u64::MAX.into(), reliefs: 0.into() }
    }
}

impl LogBytes {
    /// At most so many from now on.
    pub fn set_limit(&self, most: u64) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// A log that held `before` holds `now`.
    pub fn change(&self, before: u64, now: u64) {
        if now < before {
            self.held.fetch_sub(before - now, Ordering::Relaxed);
            return;
        }
        let held = self.held.fetch_add(now - before, Ordering::Relaxed) + (now - before);
        if held > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(held, Ordering::Relaxed);
        }
    }

    /// How many are held now.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// How many were held once and are not any more: an allocator may still have the pages.
    pub fn given_back(&self) -> u64 {
        self.peak.load(Ordering::Relaxed).saturating_sub(self.held())
    }

    /// Whether more are held than may be.
    pub fn is_above(&self) -> bool {
        self.held() > self.most.load(Ordering::Relaxed)
    }

    /// How many logs have to come down to when they are above: an eighth below, so that it is not looked for at each append.
    pub fn relieved_at(&self) -> u64 {
        self.most.load(Ordering::Relaxed) / 8 * 7
    }

    /// Counts that logs had to give way.
    pub fn relieved(&self) {
        self.reliefs.fetch_add(1, Ordering::Relaxed);
    }

    /// How often logs had to give way.
    pub fn reliefs(&self) -> u64 {
        self.reliefs.load(Ordering::Relaxed)
    }
}
