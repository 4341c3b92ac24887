//! A batch of entries on their way to a reader.

use std::sync::Arc;
use std::time::Instant;

use crate::sse::Frame;
use crate::stream::log::{Entry, Offset};

/// Entries taken from the log.
#[derive(Clone, Debug)]
pub struct ReadBatch {
    /// Their frames, in order.
    pub frames: Arc<[Frame]>,
    /// The number of events among them.
    pub events: u64,
    /// The time at which the oldest of them was received.
    pub oldest: Option<Instant>,
    /// Their offsets in the log.
    pub offsets: BatchOffsets,
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

    /// Returns the bytes added so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the batch of frames with these offsets.
    pub(crate) fn finish(self, offsets: BatchOffsets) -> ReadBatch {
        ReadBatch { frames: self.frames.into(), events: self.events, oldest: self.oldest, offsets }
    }
}
