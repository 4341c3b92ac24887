//! One reader of a coded log: its context, and the sum of what it has had.

use std::sync::Arc;
use std::time::Instant;

use super::coded_log::CodedLog;
use crate::coding::{ContentCoding, ContentSum};
use crate::sse::Frame;
use crate::stream::batch::{BatchFrames, BatchOffsets, ReadBatch, ReaderContext};
use crate::stream::event_stream::EventStream;
use crate::stream::log::Offset;

/// Turns what one reader is sent into its content coding.
pub struct CodedReader {
    log: Arc<CodedLog>,
    /// `None`: bytes of its own can come next.
    context: Option<ReaderContext>,
    sum: ContentSum,
}

impl CodedReader {
    /// Creates a reader at the start of a response.
    pub fn new(log: Arc<CodedLog>) -> Self {
        Self { log, context: None, sum: ContentSum::default() }
    }

    /// Returns the coding.
    pub fn coding(&self) -> ContentCoding {
        self.log.coding()
    }

    /// Returns the number of bytes before coding, so far.
    pub fn plain_bytes(&self) -> u64 {
        self.sum.bytes()
    }

    /// Encodes the start of the response. `prelude` is what the reader gets first.
    pub fn start(&mut self, prelude: &[u8]) -> Vec<u8> {
        let mut start = self.coding().start().to_vec();
        start.extend(self.own(prelude));
        start
    }

    /// Encodes bytes for this reader alone. They end its context.
    pub fn own(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut own = self.end_context();
        own.extend(self.coding().store(bytes));
        self.sum.append(ContentSum::of(bytes));
        own
    }

    /// Encodes a heartbeat. Inside a generation it is a block without content, so that the reader keeps its context.
    pub fn heartbeat(&mut self, heartbeat: &Frame, now: Instant) -> Frame {
        match self.context {
            Some(context) if context.has_content && !self.log.is_generation_over(now) => {
                Frame::with_body(self.coding().empty_block())
            }
            _ => Frame::with_body(&self.own(&heartbeat.body())),
        }
    }

    /// Encodes a batch. It has as many frames as before.
    pub fn batch(&mut self, stream: &EventStream, batch: ReadBatch, now: Instant) -> ReadBatch {
        let frames = match &batch.offsets {
            BatchOffsets::Consecutive(first) => self.entries(stream, *first, &batch.frames, now),
            BatchOffsets::None => batch.frames.iter().map(|frame| self.own_frame(frame)).collect(),
            BatchOffsets::Each(offsets) => {
                let mut offsets = offsets.iter();
                let mut encode = |frame: &Frame| match offsets.next() {
                    Some(&at) => self.entries(stream, at, std::slice::from_ref(frame), now)[0].clone(),
                    None => self.own_frame(frame),
                };
                batch.frames.iter().map(&mut encode).collect()
            }
        };
        ReadBatch { frames, ..batch }
    }

    /// Encodes the end of the response.
    pub fn end(&mut self) -> Vec<u8> {
        let mut end = self.end_context();
        end.extend(self.coding().end(self.sum));
        end
    }

    fn entries(&mut self, stream: &EventStream, first: Offset, plain: &[Frame], now: Instant) -> BatchFrames {
        // A reader that skips entries leaves its context.
        let left = match self.context {
            Some(context) if context.next != first => self.end_context(),
            _ => Vec::new(),
        };
        let coded = self.log.encode(first, plain, self.context, || stream.log().start(), now);
        self.context = coded.context;
        self.sum.append(coded.sum);
        if left.is_empty() {
            return BatchFrames::Coded(coded);
        }
        let mut frames = coded.frames.to_vec();
        if let Some(frame) = frames.first_mut() {
            *frame = Frame::with_body(&[&left[..], &frame.body()].concat());
        }
        frames.into()
    }

    fn own_frame(&mut self, frame: &Frame) -> Frame {
        if frame.is_empty() { Frame::default() } else { Frame::with_body(&self.own(&frame.body())) }
    }

    /// Leaves the context. Returns the bytes that end it.
    fn end_context(&mut self) -> Vec<u8> {
        let context = self.context.take();
        let has_content = context.is_some_and(|context| context.has_content);
        if has_content { self.coding().end_of_context().to_vec() } else { Vec::new() }
    }
}
