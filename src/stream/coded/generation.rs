//! Consecutive entries that were compressed in one context.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::coding::{Compressor, ContentCoding, ContentSum, PieceSum};
use crate::runtime::memory::allocated;
use crate::sse::Frame;

/// Consecutive entries of a log, each compressed in the context of those before it.
#[derive(Default)]
pub(super) struct Generation {
    blocks: Vec<Block>,
    /// Entries in no context, for readers that have not read those before them. Made when one comes.
    alone: BTreeMap<usize, Frame>,
    /// The first entry, after the end of another context. Made when a reader comes from one.
    first_in_another: Option<Frame>,
    /// The memory of the frames.
    bytes: usize,
}

/// One entry, in the context of the entries before it.
struct Block {
    /// The chunk of its frame, which takes less memory than the frame.
    shared: Bytes,
    sum: PieceSum,
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

    /// Appends an entry. Its compressed form lies in `buffer` if it is short.
    pub(super) fn append(&mut self, plain: &Frame, compressor: &mut Compressor, buffer: &mut BytesMut) {
        let body = plain.body();
        // An empty entry has no frame: an empty chunk would end an HTTP/1.1 body.
        let shared = match body.is_empty() {
            true => Frame::default(),
            false => Frame::with_body(&compressor.compress(&body)),
        };
        // Long ones would leave much of a buffer unused.
        let is_short = shared.len() <= BUFFER / 8;
        self.bytes += size_of::<Block>() + if is_short { shared.as_chunk().len() } else { memory(&shared) };
        let shared = if is_short { shared.moved_to(buffer) } else { shared };
        self.blocks.push(Block { shared: shared.chunk(), sum: PieceSum::of(&body) });
    }

    /// Returns the sum of an entry's content.
    pub(super) fn sum(&self, index: usize) -> ContentSum {
        self.blocks[index].sum.into()
    }

    /// Returns an entry for a reader that has read those before it.
    pub(super) fn shared(&self, index: usize) -> Frame {
        Frame::from_chunk(self.blocks[index].shared.clone())
    }

    /// Returns the first entry for a reader that comes from another context.
    pub(super) fn first_in_another(&mut self, coding: ContentCoding) -> Frame {
        let first = self.shared(0);
        if coding.end_of_context().is_empty() {
            return first;
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
        if let Some(frame) = self.alone.get(&index) {
            return frame.clone();
        }
        if plain.is_empty() {
            return Frame::default();
        }
        compressor.reset();
        let mut bytes = compressor.compress(&plain.body());
        bytes.extend_from_slice(coding.end_of_context());
        let frame = Frame::with_body(&bytes);
        self.bytes += memory(&frame) + size_of::<(usize, Frame)>();
        self.alone.insert(index, frame.clone());
        frame
    }
}

/// Returns the memory that a frame takes, in bytes.
fn memory(frame: &Frame) -> usize {
    allocated(frame.len() + FRAMING)
}

/// The bytes of a buffer in which short compressed forms lie. A reader of one of them holds so many.
pub(super) const BUFFER: usize = 2048;

/// Bytes of a frame besides its body, at most: the framing of the chunk, and what its clones share.
const FRAMING: usize = 48;
