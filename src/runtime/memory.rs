//! How much memory the process has, against what it may have.
//!
//! The event logs are counted exactly, at each append; they give way by themselves (`stream/log_memory.rs`). The process as a
//! whole is the second line: read from the system now and then, and between two looks the last answer counts. Pages that
//! logs have given back and the allocator has kept are left out, or a burst would be held against clients for ever. Does not
//! free anything: it only lets the gateway refuse new subscriptions before the kernel ends them all.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing::{info, warn};

use super::log_bytes::LogBytes;
use crate::limits::Memory;

/// Whether memory is short.
#[derive(Debug)]
pub struct Watermark {
    /// In bytes; the largest number where there is none.
    limit: AtomicU64,
    is_above: AtomicBool,
    logs: Arc<LogBytes>,
    /// How often logs had had to give way at the last look.
    evictions: AtomicU64,
}

impl Watermark {
    /// For a configured bound. Where the system does not say what there is, a share of it bounds nothing, and that is
    /// logged.
    pub fn new(bound: Memory, logs: Arc<LogBytes>) -> Self {
        let limit = bytes(bound);
        logs.set_limit(limit);
        Self { limit: limit.into(), is_above: AtomicBool::new(false), logs, evictions: AtomicU64::new(0) }
    }

    /// Another bound from the next look on.
    pub fn set_limit(&self, bound: Memory) {
        let limit = bytes(bound);
        self.limit.store(limit, Ordering::Relaxed);
        self.logs.set_limit(limit);
    }

    /// Most resident bytes; `None` where nothing bounds them.
    pub fn bound(&self) -> Option<u64> {
        Some(self.limit.load(Ordering::Relaxed)).filter(|&bytes| bytes != u64::MAX)
    }

    /// Whether event logs take more than they may, or the process did at the last look.
    pub fn is_above(&self) -> bool {
        self.logs.is_above() || self.is_above.load(Ordering::Relaxed)
    }

    /// Looks.
    pub fn sample(&self) {
        let (limit, Some(resident)) = (self.limit.load(Ordering::Relaxed), resident()) else { return };
        let evictions = self.logs.evictions();
        if self.evictions.swap(evictions, Ordering::Relaxed) != evictions {
            let logs = self.logs.total();
            warn!(logs, limit, "event logs reached limits.memory: unread ones and the oldest events of others went");
        }
        let used = resident.saturating_sub(self.logs.released());
        // A little below before it ends, so that it does not flicker.
        let was_above = self.is_above.load(Ordering::Relaxed);
        let is_above = used > if was_above { limit / 20 * 19 } else { limit };
        self.is_above.store(is_above, Ordering::Relaxed);
        match (was_above, is_above) {
            (false, true) => warn!(resident, limit, "memory is short: new subscriptions are refused"),
            (true, false) => info!(resident, limit, "memory suffices again"),
            (false, false) | (true, true) => {}
        }
    }
}

fn bytes(bound: Memory) -> u64 {
    let limit = match bound {
        Memory::Bytes(bytes) => Some(bytes),
        Memory::Percent(percent) => available().map(|bytes| bytes / 100 * u64::from(percent)),
    };
    if limit.is_none() {
        warn!("limits.memory has no effect: the system does not say how much memory there is");
    }
    limit.unwrap_or(u64::MAX)
}

/// The control group's limit (version 2, then 1), or the machine's memory, whichever is less.
fn available() -> Option<u64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = own_group().and_then(|group| number(&format!("/sys/fs/cgroup{group}/memory.max")));
    let limits = [
        group,
        number("/sys/fs/cgroup/memory.max"),
        number("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        kilobytes("/proc/meminfo", "MemTotal:"),
    ];
    limits.into_iter().flatten().min()
}

/// This process's group, for systems where it is not the root of what the process sees.
fn own_group() -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| line.strip_prefix("0::")).map(ToOwned::to_owned)
}

fn resident() -> Option<u64> {
    kilobytes("/proc/self/status", "VmRSS:")
}

fn kilobytes(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_what_it_has_and_may_have() {
        let resident = resident().expect("/proc says so");

        assert!(available().expect("/proc says so") > resident);
    }

    #[test]
    fn above_its_bound_and_not_below() {
        let tight = Watermark::new(Memory::Bytes(1), Arc::default());
        let wide = Watermark::new(Memory::Bytes(u64::MAX), Arc::default());

        tight.sample();
        wide.sample();

        assert!(tight.is_above() && !wide.is_above());
    }

    #[test]
    fn logs_count_at_once_and_what_they_gave_back_does_not() {
        let logs = Arc::new(LogBytes::default());
        let watermark = Watermark::new(Memory::Bytes(1 << 20), logs.clone());

        logs.update(0, (1 << 20) + 1);
        assert!(watermark.is_above(), "before any look");
        // The process of a test is larger than that, and might have been all logs once.
        logs.update((1 << 20) + 1, 1 << 40);
        logs.update(1 << 40, 0);
        watermark.sample();

        assert!(!watermark.is_above());
    }
}
