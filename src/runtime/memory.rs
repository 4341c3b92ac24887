//! The process's memory use, compared with its bound.
//!
//! Event logs are counted exactly, at each append, and shrink by themselves (`stream/log_memory.rs`). The resident size
//! of the process is the second line of defence: it is sampled, and the last sample counts until the next one. Pages
//! that logs have freed and the allocator has kept are subtracted, because otherwise one burst would refuse clients for
//! ever. Frees nothing itself: it lets the gateway refuse new subscriptions before the kernel kills the process.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing::{info, warn};

use super::log_bytes::LogBytes;
use crate::limits::SharedLimits;

/// The high watermark of memory use, `limits.memory`.
#[derive(Debug)]
pub struct Watermark {
    limits: SharedLimits,
    is_above: AtomicBool,
    logs: Arc<LogBytes>,
    /// The count of log evictions at the last sample.
    evictions: AtomicU64,
}

impl Watermark {
    /// Compares with the bound in force. A reload of the limits applies from the next sample on.
    pub fn new(limits: SharedLimits, logs: Arc<LogBytes>) -> Self {
        Self { limits, is_above: AtomicBool::new(false), logs, evictions: AtomicU64::new(0) }
    }

    /// Whether event logs exceed the bound now, or the process did at the last sample.
    pub fn is_above(&self) -> bool {
        self.logs.is_above() || self.is_above.load(Ordering::Relaxed)
    }

    /// Samples the resident memory of the process and logs when it crosses the bound.
    pub fn sample(&self) {
        let Some(resident) = resident() else { return };
        let limit = self.limits.load().memory.unwrap_or(u64::MAX);
        let evictions = self.logs.evictions();
        if self.evictions.swap(evictions, Ordering::Relaxed) != evictions {
            let logs = self.logs.total();
            warn!(logs, limit, "event logs reached limits.memory: evicted unread logs and the oldest events of others");
        }
        let used = resident.saturating_sub(self.logs.released());
        // Recovers 5 % below the bound, so that the state does not flap.
        let was_above = self.is_above.load(Ordering::Relaxed);
        let is_above = used > if was_above { limit / 20 * 19 } else { limit };
        self.is_above.store(is_above, Ordering::Relaxed);
        match (was_above, is_above) {
            (false, true) => warn!(resident, limit, "memory is above limits.memory: new subscriptions are refused"),
            (true, false) => info!(resident, limit, "memory is sufficient again"),
            (false, false) | (true, true) => {}
        }
    }
}

/// Returns the smallest of the control group's limit (version 2, then 1) and the machine's memory. `None` if the
/// system reports neither.
pub fn available() -> Option<u64> {
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

/// Returns this process's control group, for systems where it is not the root of the visible hierarchy.
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
    use arc_swap::ArcSwap;

    use super::*;
    use crate::config::default_limits;
    use crate::limits::Limits;

    /// Returns a watermark at this bound, and the logs that count towards it.
    fn bounded_at(memory: u64) -> (Watermark, Arc<LogBytes>) {
        let limits = Limits { memory: Some(memory), ..default_limits() };
        let limits = Arc::new(ArcSwap::from_pointee(limits));
        let logs = Arc::new(LogBytes::new(limits.clone()));
        (Watermark::new(limits, logs.clone()), logs)
    }

    #[test]
    fn resident_and_available_memory_are_read_from_the_system() {
        let resident = resident().expect("/proc has it");

        assert!(available().expect("/proc has it") > resident);
    }

    #[test]
    fn the_watermark_is_exceeded_above_the_bound_only() {
        let (tight, _) = bounded_at(1);
        let (wide, _) = bounded_at(u64::MAX);

        tight.sample();
        wide.sample();

        assert!(tight.is_above() && !wide.is_above());
    }

    #[test]
    fn logs_count_at_once_and_released_bytes_do_not_count() {
        let (watermark, logs) = bounded_at(1 << 20);

        logs.update(0, (1 << 20) + 1);
        assert!(watermark.is_above(), "before any look");
        // The test process is larger than the bound, and all of it might once have been logs.
        logs.update((1 << 20) + 1, 1 << 40);
        logs.update(1 << 40, 0);
        watermark.sample();

        assert!(!watermark.is_above());
    }
}
