//! The memory of one stream's log, as the ledger counts it.
//!
//! Changed with the log and under its lock. Dropping it gives everything back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::log::EventLog;
use crate::runtime::memory::{MemoryKind, MemoryLedger};

/// The memory of a stream without its log and without unfinished events, in bytes, as measured: its task, its connection
/// to the upstream, and the buffers of that.
pub(super) const STREAM_WEIGHT: u64 = 28 * 1024;

/// The memory of one log and of its evicted events that readers still hold, in bytes.
#[derive(Debug, Default)]
pub(super) struct StreamMemory {
    /// Absent for a stream outside a registry.
    ledger: OnceLock<Arc<MemoryLedger>>,
    log: AtomicU64,
    pinned: AtomicU64,
}

impl StreamMemory {
    /// Attaches the ledger. Must be called at most once, before the first publish.
    pub(super) fn attach(&self, ledger: Arc<MemoryLedger>) {
        assert!(self.ledger.set(ledger).is_ok(), "a stream has one ledger");
    }

    /// Returns the ledger.
    pub(super) fn ledger(&self) -> Option<&Arc<MemoryLedger>> {
        self.ledger.get()
    }

    /// Records what the log holds now. Must be called after each change of the log, under its lock.
    pub(super) fn update(&self, log: &EventLog) {
        let Some(ledger) = self.ledger.get() else { return };
        let now = log.weight() as u64;
        ledger.update(MemoryKind::Logs, self.log.swap(now, Ordering::Relaxed), now);
        let (pinned, now) = (self.pinned.load(Ordering::Relaxed), log.pinned_bytes() as u64);
        if pinned != now {
            self.pinned.store(now, Ordering::Relaxed);
            ledger.update(MemoryKind::Pinned, pinned, now);
        }
    }

    /// Returns the memory of the log.
    pub(super) fn log(&self) -> u64 {
        self.log.load(Ordering::Relaxed)
    }

    /// Returns true if readers held evicted events at the last change of the log.
    pub(super) fn has_pinned(&self) -> bool {
        self.pinned.load(Ordering::Relaxed) > 0
    }
}

impl Drop for StreamMemory {
    fn drop(&mut self) {
        if let Some(ledger) = self.ledger.get() {
            ledger.update(MemoryKind::Logs, self.log(), 0);
            ledger.update(MemoryKind::Pinned, self.pinned.load(Ordering::Relaxed), 0);
        }
    }
}
