//! The memory of all event logs together, and its bound.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::event_stream::EventStream;
use super::key::StreamKey;
use crate::runtime::log_bytes::LogBytes;

/// The open streams by key.
pub(super) type OpenStreams = Mutex<HashMap<StreamKey, Arc<EventStream>>>;

/// Bounds the memory of all logs together. Cheap to clone.
#[derive(Clone)]
pub struct LogMemory {
    open: Arc<OpenStreams>,
    /// What all logs take of memory.
    sum: Arc<LogBytes>,
    /// Guards the search for logs that can give way; when it last came to too little. Never held across an await.
    last_failure: Arc<Mutex<Option<Instant>>>,
}

impl LogMemory {
    /// For these streams.
    pub(super) fn new(open: Arc<OpenStreams>) -> Self {
        Self { open, sum: Arc::default(), last_failure: Arc::default() }
    }

    /// What all logs take of memory, and may take.
    pub fn log_bytes(&self) -> &Arc<LogBytes> {
        &self.sum
    }

    /// Has logs give way when all together are above their bound: first those that nobody reads, then the older halves of
    /// the others, the largest first each time. To be called after each append.
    pub fn reduce(&self) {
        if !self.sum.is_above() {
            return;
        }
        let mut failed_at = self.last_failure.lock();
        // Others may have done it meanwhile; and where there is nothing to find it is not looked for all the time.
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

/// How long logs are left alone when they could not give enough.
const REDUCTION_PAUSE: Duration = Duration::from_millis(10);
