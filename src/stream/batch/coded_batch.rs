//! Batches in a content coding, and the few of them that were made last: nearly all readers take one of those.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::coding::SuffixSum;
use crate::sse::Frame;
use crate::stream::log::Offset;

/// The context that a reader of a coded log is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderContext {
    /// The first entry of the generation, from which on it has read everything.
    pub generation: Offset,
    /// The entry that it reads next.
    pub next: Offset,
    /// True if any of the entries has content.
    pub has_content: bool,
}

/// The entries of a batch, and the kind of reader that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchKey {
    /// The offset of the first entry.
    pub first: Offset,
    /// The number of entries, which are consecutive.
    pub len: usize,
    /// The reader's context before them. `None`: it is in none.
    pub context: Option<ReaderContext>,
}

/// Consecutive entries in the form for one kind of reader.
#[derive(Clone, Debug)]
pub struct CodedBatch {
    /// A frame for each entry.
    pub frames: Arc<[Frame]>,
    /// The reader's context after them. `None`: it is in none.
    pub context: Option<ReaderContext>,
    /// The sum of their plain bytes.
    pub sum: SuffixSum,
}

/// The batches that were made last. Readers take no lock.
#[derive(Debug, Default)]
pub(crate) struct RecentBatches(ArcSwap<Vec<(BatchKey, CodedBatch)>>);

/// A reader's hold on one of the recent batches, which may have been replaced meanwhile. The others stay in memory with
/// it.
#[derive(Debug)]
pub struct CodedGuard {
    recent: Guard<Arc<Vec<(BatchKey, CodedBatch)>>>,
    index: usize,
}

/// The number of batches that are kept. Readers at the same position need up to three: for those in the context of the newest
/// generation, for those that come from the one before, and for those in none.
const RECENT_BATCHES: usize = 4;

impl RecentBatches {
    /// Returns the batch with this key if it is one of the last.
    pub(crate) fn find(&self, key: BatchKey) -> Option<CodedGuard> {
        let recent = self.0.load();
        let index = recent.iter().position(|(other, _)| *other == key)?;
        Some(CodedGuard { recent, index })
    }

    /// Adds a batch, and forgets those before `log_start`. Must not be called by two threads at once.
    pub(crate) fn push(&self, key: BatchKey, batch: CodedBatch, log_start: Offset) -> CodedGuard {
        let recent = {
            let before = self.0.load();
            let kept = before.iter().filter(|(other, _)| other.first >= log_start).take(RECENT_BATCHES - 1).cloned();
            Arc::new(std::iter::once((key, batch)).chain(kept).collect::<Vec<_>>())
        };
        self.0.store(recent.clone());
        CodedGuard { recent: Guard::from_inner(recent), index: 0 }
    }
}

impl Deref for CodedGuard {
    type Target = CodedBatch;

    fn deref(&self) -> &CodedBatch {
        &self.recent[self.index].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::ContentSum;

    fn key(first: u64) -> BatchKey {
        BatchKey { first: Offset(first), len: 1, context: None }
    }

    fn batch(text: &str) -> CodedBatch {
        let frames = [Frame::with_body(text.as_bytes())].into();
        CodedBatch { frames, context: None, sum: ContentSum::default().into() }
    }

    #[test]
    fn a_batch_is_found_by_its_entries_and_the_context_of_its_readers() {
        let recent = RecentBatches::default();
        let context = ReaderContext { generation: Offset(1), next: Offset(5), has_content: true };
        let in_context = BatchKey { context: Some(context), ..key(5) };
        recent.push(key(5), batch("alone"), Offset(0));
        recent.push(in_context, batch("in context"), Offset(0));

        let body = |key| recent.find(key).map(|batch| batch.frames[0].body());
        assert_eq!(body(key(5)).expect("it is recent"), "alone");
        assert_eq!(body(in_context).expect("it is recent"), "in context");
        assert!(body(key(4)).is_none() && body(BatchKey { len: 2, ..key(5) }).is_none());
    }

    #[test]
    fn only_the_last_batches_are_kept_and_none_from_before_the_log() {
        let recent = RecentBatches::default();
        (0..6).for_each(|first| drop(recent.push(key(first), batch("x"), Offset(0))));
        let kept =
            |recent: &RecentBatches| (0..8).filter(|first| recent.find(key(*first)).is_some()).collect::<Vec<_>>();
        assert_eq!(kept(&recent), [2, 3, 4, 5]);

        recent.push(key(6), batch("x"), Offset(5));
        assert_eq!(kept(&recent), [5, 6]);
    }

    #[test]
    fn a_reader_does_not_write_to_the_reference_count() {
        let recent = RecentBatches::default();
        drop(recent.push(key(0), batch("x"), Offset(0)));
        let list = recent.0.load_full();

        let guard = recent.find(key(0)).expect("it is recent");

        assert_eq!((guard.frames.len(), Arc::strong_count(&list), Arc::strong_count(&guard.frames)), (1, 2, 1));
    }

    #[test]
    fn a_batch_that_is_replaced_lives_until_its_reader_drops_it() {
        let recent = RecentBatches::default();
        recent.push(key(0), batch("first"), Offset(0));
        let guard = recent.find(key(0)).expect("it is recent");
        let frames = Arc::downgrade(&guard.frames);

        recent.push(key(1), batch("second"), Offset(1));
        assert_eq!(guard.frames[0].body(), "first");

        drop(guard);
        assert!(frames.upgrade().is_none());
    }
}
