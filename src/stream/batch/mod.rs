//! Batches of entries on their way to readers.
//!
//! A batch that many readers take is held by a guard and not by a counted reference. A count would be written by every
//! delivery, and the workers would wait for each other's writes.

mod coded_batch;
mod latest_batch;
mod read_batch;

pub(super) use coded_batch::{BatchKey, CodedBatch, CodedGuard, ReaderContext, RecentBatches};
pub(super) use latest_batch::{LatestBatch, LatestGuard};
pub(super) use read_batch::{BatchFrames, ReadBatchBuilder};
pub use read_batch::{BatchOffsets, ReadBatch};
