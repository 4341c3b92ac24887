//! The entries that were published last, in one piece that all readers share.
//!
//! Nearly every reader of a busy stream lacks exactly these entries. It takes them without the log's lock and without
//! an allocation. All other readers read the log. A batch whose entries are evicted is dropped at the next eviction
//! check.

use super::read_batch::{BatchOffsets, ReadBatch, ReadBatchBuilder};
use crate::stream::log::Offset;

/// The entries that were published last.
#[derive(Debug)]
pub(crate) struct LatestBatch {
    start: Offset,
    bytes: usize,
    batch: ReadBatch,
}

impl LatestBatch {
    /// Creates a batch of the entries published from `start` on. Returns `None` if there are none.
    pub(crate) fn new(start: Offset, published: ReadBatchBuilder) -> Option<Self> {
        let bytes = published.bytes();
        let batch = published.finish(BatchOffsets::Consecutive(start));
        (!batch.frames.is_empty()).then_some(Self { start, bytes, batch })
    }

    /// Returns the offset of the first entry.
    pub(crate) fn start(&self) -> Offset {
        self.start
    }

    /// Returns all entries if the reader is at their start and they have at most `bytes` and fewer than `events`
    /// events.
    pub(crate) fn batch_at(&self, at: Offset, bytes: usize, events: u64) -> Option<ReadBatch> {
        let is_all = self.start == at && self.bytes <= bytes && self.batch.events < events;
        is_all.then(|| self.batch.clone())
    }
}
