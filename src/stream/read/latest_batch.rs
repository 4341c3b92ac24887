//! What was published last, as one piece that all readers share.
//!
//! Nearly every reader of a busy stream lacks exactly this. It takes it without the log's lock and without a list of its
//! own; everyone else reads the log. Never holds what the log has evicted for longer than until the next look.

use super::read_batch::{ReadBatch, ReadBatchBuilder};
use crate::stream::log::Offset;

/// See the module.
#[derive(Debug)]
pub struct LatestBatch {
    start: Offset,
    bytes: usize,
    batch: ReadBatch,
}

impl LatestBatch {
    /// What was published from `start` on, if it is anything.
    pub fn new(start: Offset, published: ReadBatchBuilder) -> Option<Self> {
        let bytes = published.bytes();
        let batch = published.finish();
        (!batch.frames.is_empty()).then_some(Self { start, bytes, batch })
    }

    /// Where they begin.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// All of it for a reader that stands where they begin, if it takes so many bytes and fewer than so many events.
    pub fn batch_at(&self, at: Offset, bytes: usize, events: u64) -> Option<ReadBatch> {
        let is_all = self.start == at && self.bytes <= bytes && self.batch.events < events;
        is_all.then(|| self.batch.clone())
    }
}
