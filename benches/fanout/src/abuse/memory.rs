//! The resident memory of a server, looked at 50 times a second.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The observer; it ends when dropped.
pub struct MemoryWatch {
    processes: Vec<u32>,
    peak: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    /// Observes these processes together.
    pub fn start(processes: Vec<u32>) -> Self {
        let (peak, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (most, end, observed) = (peak.clone(), ends.clone(), processes.clone());
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                most.fetch_max(resident(&observed), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { processes, peak, ends, thread: Some(thread) }
    }

    /// Returns the present memory in MiB.
    pub fn now(&self) -> f64 {
        mebibytes(resident(&self.processes))
    }

    /// Returns the highest memory so far in MiB.
    pub fn peak(&self) -> f64 {
        mebibytes(self.peak.load(Ordering::Relaxed))
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn resident(processes: &[u32]) -> u64 {
    let kibibytes = |process: &u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse::<u64>().ok()
    };
    processes.iter().filter_map(kibibytes).sum()
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
