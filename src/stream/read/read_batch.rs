//! Entries on their way to a reader.

use std::sync::Arc;
use std::time::Instant;

use crate::sse::Frame;
use crate::stream::log::Entry;

/// Entries taken from the log.
#[derive(Clone, Debug)]
pub struct ReadBatch {
    /// Their bytes, in order.
    pub frames: Arc<[Frame]>,
    /// How many of them dispatch an event.
    pub events: u64,
    /// When the oldest of them came.
    pub oldest: Option<Instant>,
}

/// Entries that are being taken.
#[derive(Debug, Default)]
pub(crate) struct ReadBatchBuilder {
    frames: Vec<Frame>,
    bytes: usize,
    events: u64,
    oldest: Option<Instant>,
}

impl ReadBatchBuilder {
    /// Whether one more may be taken: of at most `bytes` together, or a single larger one, and at most `events` events.
    pub fn has_room(&self, frame: &Frame, bytes: usize, events: u64) -> bool {
        (self.frames.is_empty() || self.bytes + frame.len() <= bytes) && self.events < events
    }

    /// Takes it.
    pub fn add(&mut self, frame: Frame, is_event: bool) {
        self.bytes += frame.len();
        self.events += u64::from(is_event);
        self.frames.push(frame);
    }

    /// Takes it, and notes when the oldest came.
    pub fn add_entry(&mut self, entry: &Entry) {
        self.oldest.get_or_insert(entry.at);
        self.add(entry.frame.clone(), entry.is_event());
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them.
    pub fn finish(self) -> ReadBatch {
        ReadBatch { frames: self.frames.into(), events: self.events, oldest: self.oldest }
    }
}
