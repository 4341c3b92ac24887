//! The bound on memory, as far as event logs can respect it.
//!
//! Logs are what can give way: one that gives memory back evicts its oldest entries, and its readers are told. From 80 %
//! of the bound on, logs without readers are emptied, the heaviest first. From 90 % on, a log that grows is cut to its
//! part at once, and if that is too little, logs with readers lose their older halves, those with most bytes for each
//! reader first. A stream whose log holds more than its part grows slowly meanwhile, and its upstream waits.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::event_stream::EventStream;
use super::key::StreamKey;
use super::unread::UnreadStreams;
use crate::runtime::arithmetic;
use crate::runtime::jitter;
use crate::runtime::memory::{MemoryKind, MemoryLedger, MemoryLevel};

/// The open streams by key.
pub(super) type OpenStreams = Mutex<HashMap<StreamKey, Arc<EventStream>>>;

/// Reduces logs when memory is short. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogMemory {
    open: Arc<OpenStreams>,
    unread: Arc<UnreadStreams>,
    ledger: Arc<MemoryLedger>,
    /// The last reduction that freed too little. The lock also makes reductions exclusive. Never held across an await.
    failed: Arc<Mutex<Option<FailedReduction>>>,
}

/// A reduction that freed too little.
#[derive(Clone, Copy, Debug)]
struct FailedReduction {
    level: MemoryLevel,
    /// Until then, another one at this level or below is not worth its time.
    pause_until: Instant,
}

impl LogMemory {
    /// Reduces the logs of these streams.
    pub(super) fn new(open: Arc<OpenStreams>, unread: Arc<UnreadStreams>, ledger: Arc<MemoryLedger>) -> Self {
        Self { open, unread, ledger, failed: Arc::default() }
    }

    /// Returns the ledger.
    pub(super) fn ledger(&self) -> &Arc<MemoryLedger> {
        &self.ledger
    }

    /// Evicts entries if memory is short. Must be called after `bytes` were appended to `stream`. Returns the time for
    /// which the stream must not grow, if memory is short and its log holds more than its part.
    pub(super) fn make_room(&self, stream: &EventStream, bytes: usize) -> Option<Duration> {
        let level = self.ledger.level();
        if level == MemoryLevel::Normal {
            return None;
        }
        let (streams, readers) = (self.unread.streams(), self.unread.readers() as u64);
        // A log that many read has a larger part, so that nobody's own streams take the room of a popular one.
        let part = self.room_for_logs().saturating_mul(stream.subscribers() as u64) / readers.max(1);
        let pause = (stream.log_weight() > part).then(|| {
            // Those who have read the rest wait for the newest entry.
            let kept = usize::from(level < MemoryLevel::Full);
            if level >= MemoryLevel::Critical && stream.shrink_to(part, kept) {
                self.ledger.record_reduction();
            }
            let all_bytes = bytes.saturating_mul(streams);
            let micros = (all_bytes as u64).saturating_mul(1_000_000) / LARGE_LOGS_RATE;
            // Streams that began together must not go on together.
            arithmetic::scale(Duration::from_micros(micros).min(MAX_PAUSE), 0.5 + jitter::unit())
        });
        self.reduce();
        pause
    }

    /// Returns true if memory has no room for another stream beside so many.
    pub(super) fn is_crowded(&self, open: usize) -> bool {
        let part = self.room_for_logs() / (open as u64 + 1);
        self.ledger.level() >= MemoryLevel::Critical || part < MIN_PART
    }

    /// Returns the bytes that other kinds of memory leave of the bound.
    fn room_for_logs(&self) -> u64 {
        let others = self.ledger.total().saturating_sub(self.ledger.held(MemoryKind::Logs));
        self.ledger.target(MemoryLevel::High).saturating_sub(others)
    }

    /// Evicts entries if memory is short.
    pub(super) fn reduce(&self) {
        if self.ledger.level() == MemoryLevel::Normal {
            return;
        }
        // Another thread is reducing the logs, or may have reduced them meanwhile.
        let Some(mut failed) = self.failed.try_lock() else { return };
        let (level, start) = (self.ledger.level(), Instant::now());
        let is_paused = failed.is_some_and(|failed| level <= failed.level && start < failed.pause_until);
        if level == MemoryLevel::Normal || is_paused {
            return;
        }
        let mut streams: Vec<_> = self.open.lock().values().cloned().collect();
        // Entries that readers have dropped must not make others give way.
        streams.iter().for_each(|stream| stream.sweep_pinned());
        streams.sort_by_cached_key(|stream| {
            let readers = stream.subscribers() as u64;
            (readers > 0, Reverse(stream.log_weight() / readers.max(1)))
        });
        let is_relieved = |level| self.ledger.total() <= self.ledger.target(level);
        let mut has_evicted = false;
        for stream in streams.iter().filter(|stream| stream.subscribers() == 0) {
            if is_relieved(MemoryLevel::High) {
                break;
            }
            has_evicted |= stream.shrink_to(0, 0);
        }
        let mut can_shrink = level >= MemoryLevel::Critical;
        let kept = usize::from(level < MemoryLevel::Full);
        while can_shrink && !is_relieved(MemoryLevel::Critical) {
            can_shrink = false;
            for stream in &streams {
                if is_relieved(MemoryLevel::Critical) {
                    break;
                }
                can_shrink |= stream.shrink_to(stream.log_weight() / 2, kept);
            }
            has_evicted |= can_shrink;
        }
        if has_evicted {
            self.ledger.record_reduction();
        }
        // A walk over many streams takes time, so the next one waits in proportion.
        let pause_until = Instant::now() + REDUCTION_PAUSE.max(start.elapsed() * PAUSE_FACTOR);
        *failed = (!is_relieved(level)).then_some(FailedReduction { level, pause_until });
    }
}

/// The rate in bytes per second at which the logs that hold more than their parts may grow, all together. It leaves most of
/// a core to other streams.
const LARGE_LOGS_RATE: u64 = 32 * 1024 * 1024;

/// The longest pause of a stream whose log holds more than its part, before it is varied by half.
const MAX_PAUSE: Duration = Duration::from_secs(4);

/// The least part of each log for which another stream is opened, in bytes.
const MIN_PART: u64 = 16 * 1024;

/// The shortest pause after a reduction that freed too little.
const REDUCTION_PAUSE: Duration = Duration::from_millis(10);

/// That pause, in times of the reduction's own duration.
const PAUSE_FACTOR: u32 = 20;
