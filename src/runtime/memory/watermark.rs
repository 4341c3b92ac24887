//! The resident memory of the process, compared with its bound.
//!
//! The second line of defence, for memory that the ledger does not count. It is sampled, and the last sample counts
//! until the next one. Frees nothing itself: it lets the gateway refuse new subscriptions before the kernel kills the
//! process. The allocator must return freed pages soon, because otherwise one burst would refuse clients for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing::{info, warn};

use super::kind::MemoryKind;
use super::ledger::{MemoryLedger, MemoryLevel};
use super::system::{available, resident};

/// The high watermark of memory use: of what the ledger counts, and of the process.
#[derive(Debug)]
pub struct Watermark {
    ledger: Arc<MemoryLedger>,
    /// The most that the process may exceed the bound by, whatever the bound. In bytes.
    max_excess: u64,
    is_above: AtomicBool,
    /// The count of reductions at the last sample.
    reductions: AtomicU64,
}

impl Watermark {
    /// Compares with the bound of this ledger.
    pub fn new(ledger: Arc<MemoryLedger>) -> Self {
        let max_excess = available().map_or(MAX_EXCESS, |available| MAX_EXCESS.min(available / 10));
        Self { ledger, max_excess, is_above: AtomicBool::new(false), reductions: AtomicU64::new(0) }
    }

    /// Returns true if nothing new is admitted: the ledger is full now, or the process was too large at the last sample.
    pub fn is_above(&self) -> bool {
        self.ledger.level() == MemoryLevel::Full || self.is_above.load(Ordering::Relaxed)
    }

    /// Samples the resident memory of the process and logs when it crosses the bound.
    pub fn sample(&self) {
        let reductions = self.ledger.reductions();
        if self.reductions.swap(reductions, Ordering::Relaxed) != reductions {
            let (logs, held) = (self.ledger.held(MemoryKind::Logs), self.ledger.total());
            let limit = self.ledger.bound();
            warn!(logs, held, limit, "memory is short: evicted events, those of unread streams first");
        }
        if let Some(resident) = resident() {
            self.compare(resident);
        }
    }

    fn compare(&self, used: u64) {
        let bound = self.ledger.bound().unwrap_or(u64::MAX);
        let limit = bound.saturating_add(self.max_excess.min(bound / 4));
        // Recovers 5 % below the limit, so that the state does not flap.
        let was_above = self.is_above.load(Ordering::Relaxed);
        let is_above = used > if was_above { limit / 20 * 19 } else { limit };
        self.is_above.store(is_above, Ordering::Relaxed);
        match (was_above, is_above) {
            (false, true) => warn!(used, limit, "memory is above limits.memory: new subscriptions are refused"),
            (true, false) => info!(used, limit, "memory is sufficient again"),
            (false, false) | (true, true) => {}
        }
    }
}

/// The most that resident memory may exceed the bound by. It is also at most a quarter of the bound, and a tenth of the
/// machine's or control group's memory.
const MAX_EXCESS: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn bounded_at(bound: u64) -> Watermark {
        let ledger = Arc::new(MemoryLedger::new(Some(bound)));
        Watermark { ledger, max_excess: MAX_EXCESS, is_above: false.into(), reductions: 0.into() }
    }

    #[test]
    fn resident_memory_may_exceed_the_bound_by_64_mib_or_a_quarter_of_it() {
        for (bound, limit) in [(256 * MIB, 320 * MIB), (1024 * MIB, 1088 * MIB), (40 * MIB, 50 * MIB)] {
            let watermark = bounded_at(bound);

            watermark.compare(limit);
            assert!(!watermark.is_above());
            watermark.compare(limit + 1);
            assert!(watermark.is_above());
            watermark.compare(limit / 20 * 19 + 1);
            assert!(watermark.is_above(), "it does not flap");
            watermark.compare(limit / 20 * 19);
            assert!(!watermark.is_above(), "it comes back");
        }
    }

    #[test]
    fn what_the_ledger_counts_is_seen_before_any_sample() {
        let watermark = bounded_at(100 * MIB);

        watermark.ledger.update(MemoryKind::Logs, 0, 100 * MIB);
        assert!(watermark.is_above());
        watermark.ledger.update(MemoryKind::Logs, 100 * MIB, 0);

        assert!(!watermark.is_above());
    }
}
