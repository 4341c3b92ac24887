//! The entries that were published last, in one piece that all readers share.
//!
//! Nearly every reader of a busy stream lacks exactly these entries. It takes them without the log's lock, without an
//! allocation, and without a write to memory that other workers use: readers on many cores would wait for each other's
//! reference counts. All other readers read the log. A batch whose entries are evicted is dropped at the next eviction
//! check.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwapOption, Guard};

use crate::sse::Frame;
use crate::stream::log::Offset;

/// The entries that were published last. There is at least one.
#[derive(Debug)]
pub struct LatestBatch {
    /// The offset of the first entry.
    pub start: Offset,
    /// The bytes of all frames.
    pub bytes: usize,
    /// The entries' frames, in order.
    pub frames: Box<[Frame]>,
    /// The number of events among them.
    pub events: u64,
    /// The time at which the oldest of them was received.
    pub oldest: Option<Instant>,
}

/// A reader's hold on a latest batch, which may have been replaced meanwhile.
#[derive(Debug)]
pub struct LatestGuard(Guard<Option<Arc<LatestBatch>>>);

impl LatestGuard {
    /// Takes hold of the latest batch if the reader is at its start and it has at most `bytes` and fewer than `events`
    /// events. Returns `None` otherwise.
    pub(crate) fn acquire(latest: &ArcSwapOption<LatestBatch>, at: Offset, bytes: usize, events: u64) -> Option<Self> {
        let guard = latest.load();
        let is_wanted =
            guard.as_ref().is_some_and(|batch| batch.start == at && batch.bytes <= bytes && batch.events < events);
        is_wanted.then_some(Self(guard))
    }
}

impl Deref for LatestGuard {
    type Target = LatestBatch;

    fn deref(&self) -> &LatestBatch {
        self.0.as_ref().expect("checked when it was acquired")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(start: u64, texts: &[&str]) -> Arc<LatestBatch> {
        let frames: Box<[Frame]> = texts.iter().map(|text| Frame::with_body(text.as_bytes())).collect();
        let (bytes, events) = (frames.iter().map(Frame::len).sum(), frames.len() as u64);
        Arc::new(LatestBatch { start: Offset(start), bytes, frames, events, oldest: None })
    }

    #[test]
    fn readers_on_several_threads_do_not_write_to_the_reference_count() {
        let batch = batch(7, &["one", "two"]);
        let latest = ArcSwapOption::from(Some(batch.clone()));
        let barrier = std::sync::Barrier::new(4);

        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let guard = LatestGuard::acquire(&latest, Offset(7), 100, 100);
                    barrier.wait();
                    let references = Arc::strong_count(&batch);
                    barrier.wait();
                    assert_eq!((guard.expect("the batch").frames.len(), references), (2, 2));
                });
            }
        });
    }

    #[test]
    fn a_batch_that_is_replaced_lives_until_its_reader_drops_it() {
        let first = batch(0, &["first"]);
        let latest = ArcSwapOption::from(Some(first.clone()));
        let guard = LatestGuard::acquire(&latest, Offset(0), 100, 100).expect("the batch");

        latest.store(Some(batch(1, &["second"])));
        assert_eq!(guard.frames[0].body(), "first");
        assert_eq!(Arc::strong_count(&first), 2);

        drop(guard);
        assert_eq!(Arc::strong_count(&first), 1);
    }

    #[test]
    fn only_a_reader_at_the_start_with_room_for_everything_takes_the_batch() {
        let batch = batch(5, &["one", "two"]);
        let bytes = batch.bytes;
        let latest = ArcSwapOption::from(Some(batch));
        let takes = |at, bytes, events| LatestGuard::acquire(&latest, Offset(at), bytes, events).is_some();

        assert!(takes(5, bytes, 3));
        assert!(!takes(4, bytes, 3) && !takes(6, bytes, 3), "another position");
        assert!(!takes(5, bytes - 1, 3), "too many bytes");
        assert!(!takes(5, bytes, 2), "as many events as it may take");
        latest.store(None);
        assert!(!takes(5, bytes, 3), "evicted");
    }
}
