//! The memory of all event logs together, and its bound.
//!
//! A log that gives memory back evicts its oldest entries. Logs without readers go first.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::event_stream::EventStream;
use super::key::StreamKey;
use crate::limits::SharedLimits;
use crate::runtime::log_bytes::LogBytes;

/// The open streams by key.
pub(super) type OpenStreams = Mutex<HashMap<StreamKey, Arc<EventStream>>>;

/// Bounds the memory of all logs together. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogMemory {
    open: Arc<OpenStreams>,
    /// The memory of all logs, in bytes.
    sum: Arc<LogBytes>,
    /// The time at which the last reduction freed too little. The lock also makes reductions exclusive. Never held
    /// across an await.
    last_failure: Arc<Mutex<Option<Instant>>>,
}

impl LogMemory {
    /// Bounds the logs of these streams.
    pub(super) fn new(open: Arc<OpenStreams>, limits: SharedLimits) -> Self {
        Self { open, sum: Arc::new(LogBytes::new(limits)), last_failure: Arc::default() }
    }

    /// Returns the counter of all logs' memory.
    pub(super) fn log_bytes(&self) -> &Arc<LogBytes> {
        &self.sum
    }

    /// Evicts entries if all logs together exceed their limit: first those of streams without readers, then the older
    /// halves of the others, the largest first. Must be called after each append.
    pub(super) fn reduce(&self) {
        if !self.sum.is_above() {
            return;
        }
        let mut failed_at = self.last_failure.lock();
        // Another thread may have reduced the logs meanwhile. After a failure, wait before trying again.
        if !self.sum.is_above() || failed_at.is_some_and(|at| at.elapsed() < REDUCTION_PAUSE) {
            return;
        }
        let mut streams: Vec<_> = self.open.lock().values().cloned().collect();
        streams.sort_by_cached_key(|stream| (stream.subscribers() > 0, Reverse(stream.counted_weight())));
        let is_relieved = || self.sum.total() <= self.sum.eviction_target();
        for stream in streams.iter().filter(|stream| stream.subscribers() == 0) {
            if is_relieved() {
                break;
            }
            stream.shrink_to(0);
        }
        let mut can_shrink = true;
        while can_shrink && !is_relieved() {
            can_shrink = false;
            for stream in &streams {
                let counted = stream.counted_weight();
                if counted > 0 && !is_relieved() {
                    stream.shrink_to(counted / 2);
                    can_shrink = true;
                }
            }
        }
        *failed_at = (!is_relieved()).then(Instant::now);
        self.sum.record_eviction();
    }
}

/// The pause after a reduction that freed too little.
const REDUCTION_PAUSE: Duration = Duration::from_millis(10);
