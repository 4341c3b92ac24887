//! Consecutive entries that were compressed in one context.

use crate::coding::{Compressor, ContentCoding, ContentSum};
use crate::runtime::memory::allocated;
use crate::sse::Frame;

/// Consecutive entries of a log, each compressed in the context of those before it.
#[derive(Default)]
pub(super) struct Generation {
    blocks: Vec<Block>,
    /// The first entry, after the end of another context. Made when a reader comes from one.
    first_in_another: Option<Frame>,
    /// The memory of the frames.
    bytes: usize,
}

/// One entry.
struct Block {
    /// In the context of the entries before it.
    shared: Frame,
    /// In no context, for readers that have not read the entries before it. Made when one comes.
    alone: Option<Frame>,
    sum: ContentSum,
}

impl Generation {
    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Returns the memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends an entry.
    pub(super) fn append(&mut self, plain: &Frame, compressor: &mut Compressor) {
        let body = plain.body();
        // An empty entry has no frame: an empty chunk would end an HTTP/1.1 body.
        let shared = if body.is_empty() { Frame::default() } else { Frame::with_body(&compressor.compress(&body)) };
        self.bytes += memory(&shared) + size_of::<Block>();
        self.blocks.push(Block { shared, alone: None, sum: ContentSum::of(&body) });
    }

    /// Returns the sum of an entry's content.
    pub(super) fn sum(&self, index: usize) -> ContentSum {
        self.blocks[index].sum
    }

    /// Returns an entry for a reader that has read those before it.
    pub(super) fn shared(&self, index: usize) -> Frame {
        self.blocks[index].shared.clone()
    }

    /// Returns the first entry for a reader that comes from another context.
    pub(super) fn first_in_another(&mut self, coding: ContentCoding) -> Frame {
        let first = &self.blocks[0].shared;
        if coding.end_of_context().is_empty() {
            return first.clone();
        }
        if let Some(frame) = &self.first_in_another {
            return frame.clone();
        }
        let frame = Frame::with_body(&[coding.end_of_context(), &first.body()].concat());
        self.bytes += memory(&frame);
        self.first_in_another.insert(frame).clone()
    }

    /// Returns an entry for a reader that is in no context. `plain` is the entry.
    pub(super) fn alone(
        &mut self,
        index: usize,
        plain: &Frame,
        coding: ContentCoding,
        compressor: &mut Compressor,
    ) -> Frame {
        let block = &mut self.blocks[index];
        if let Some(frame) = &block.alone {
            return frame.clone();
        }
        if plain.is_empty() {
            return Frame::default();
        }
        compressor.reset();
        let mut bytes = compressor.compress(&plain.body());
        bytes.extend_from_slice(coding.end_of_context());
        let frame = Frame::with_body(&bytes);
        self.bytes += memory(&frame);
        block.alone.insert(frame).clone()
    }
}

/// Returns the memory that a frame takes, in bytes.
fn memory(frame: &Frame) -> usize {
    allocated(frame.len() + FRAMING)
}

/// Bytes of a frame besides its body, at most: the framing of the chunk, and what its clones share.
const FRAMING: usize = 48;
