//! A batch of entries on their way to a reader.

use std::ops::Deref;
use std::time::Instant;

use super::coded_batch::CodedGuard;
use super::latest_batch::{LatestBatch, LatestGuard};
use crate::sse::Frame;
use crate::stream::log::{Entry, Offset};

/// Entries taken from the log.
///
/// Drop it before the next await. A thread that holds more than eight guards of arc-swap counts references instead, and
/// a batch that is held stays in memory after its entries have been evicted.
#[derive(Debug)]
pub struct ReadBatch {
    /// Their frames, in order.
    pub frames: BatchFrames,
    /// The number of events among them.
    pub events: u64,
    /// The time at which the oldest of them was received.
    pub oldest: Option<Instant>,
    /// Their offsets in the log.
    pub offsets: BatchOffsets,
}

impl From<LatestGuard> for ReadBatch {
    fn from(latest: LatestGuard) -> Self {
        let LatestBatch { start, events, oldest, .. } = *latest;
        let offsets = BatchOffsets::Consecutive(start);
        Self { frames: BatchFrames::Latest(latest), events, oldest, offsets }
    }
}

/// The frames of a batch.
#[derive(Debug)]
pub enum BatchFrames {
    /// Those of the stream's latest batch.
    Latest(LatestGuard),
    /// Those of a recent batch in a content coding.
    Coded(CodedGuard),
    /// Those made for this reader alone.
    Own(Box<[Frame]>),
}

impl Deref for BatchFrames {
    type Target = [Frame];

    fn deref(&self) -> &[Frame] {
        match self {
            Self::Latest(batch) => &batch.frames,
            Self::Coded(batch) => &batch.frames,
            Self::Own(frames) => frames,
        }
    }
}

impl<T: Into<Box<[Frame]>>> From<T> for BatchFrames {
    fn from(frames: T) -> Self {
        Self::Own(frames.into())
    }
}

impl FromIterator<Frame> for BatchFrames {
    fn from_iter<I: IntoIterator<Item = Frame>>(frames: I) -> Self {
        Self::Own(frames.into_iter().collect())
    }
}

/// The offsets in the log of the frames of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BatchOffsets {
    /// No frame is from the log.
    #[default]
    None,
    /// The frames are consecutive entries, and this is the offset of the first.
    Consecutive(Offset),
    /// The offsets of the first frames, in order. Further frames are not from the log.
    Each(Box<[Offset]>),
}

impl BatchOffsets {
    /// Returns the offset of the frame at this index, if it is from the log.
    pub fn at(&self, index: usize) -> Option<Offset> {
        match self {
            Self::None => None,
            Self::Consecutive(first) => Some(Offset(first.0 + index as u64)),
            Self::Each(offsets) => offsets.get(index).copied(),
        }
    }
}

/// Collects the entries of a batch.
#[derive(Debug, Default)]
pub(crate) struct ReadBatchBuilder {
    frames: Vec<Frame>,
    bytes: usize,
    events: u64,
    oldest: Option<Instant>,
}

impl ReadBatchBuilder {
    /// Returns true if one more frame fits: at most `bytes` in total, or a single larger frame, and at most `events`
    /// events.
    pub(crate) fn has_room(&self, frame: &Frame, bytes: usize, events: u64) -> bool {
        (self.frames.is_empty() || self.bytes + frame.len() <= bytes) && self.events < events
    }

    /// Adds a frame.
    pub(crate) fn add(&mut self, frame: Frame, is_event: bool) {
        self.bytes += frame.len();
        self.events += u64::from(is_event);
        self.frames.push(frame);
    }

    /// Adds an entry. The first one sets the batch's age.
    pub(crate) fn add_entry(&mut self, entry: &Entry) {
        self.oldest.get_or_insert(entry.at);
        self.add(entry.frame.clone(), entry.is_event());
    }

    /// Returns the batch of entries published from `start` on. Returns `None` if there are none.
    pub(crate) fn finish_latest(self, start: Offset) -> Option<LatestBatch> {
        let Self { frames, bytes, events, oldest } = self;
        let frames = frames.into_boxed_slice();
        (!frames.is_empty()).then_some(LatestBatch { start, bytes, frames, events, oldest })
    }

    /// Returns the batch of frames with these offsets.
    pub(crate) fn finish(self, offsets: BatchOffsets) -> ReadBatch {
        ReadBatch { frames: self.frames.into(), events: self.events, oldest: self.oldest, offsets }
    }
}
