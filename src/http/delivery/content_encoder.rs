//! The content coding of one response.

use std::time::Instant;

use crate::coding::ContentCoding;
use crate::sse::Frame;
use crate::stream::{CodedReader, EventStream, ReadBatch};

/// Encodes one response in its content coding, and counts what that saves.
pub(crate) struct ContentEncoder {
    reader: CodedReader,
    /// The bytes before coding that have been counted.
    counted: u64,
    /// Bytes that were sent beyond those before coding, and that no saving has made up for yet.
    owed: u64,
}

impl ContentEncoder {
    /// Starts the response of a reader.
    pub(crate) fn new(reader: CodedReader) -> Self {
        Self { reader, counted: 0, owed: 0 }
    }

    /// Returns the coding.
    pub(crate) fn coding(&self) -> ContentCoding {
        self.reader.coding()
    }

    /// Encodes the prelude. Must be called first.
    pub(crate) fn start(&mut self, prelude: &[u8]) -> Vec<u8> {
        self.reader.start(prelude)
    }

    pub(super) fn batch(&mut self, stream: &EventStream, batch: ReadBatch) -> ReadBatch {
        self.reader.batch(stream, batch, Instant::now())
    }

    pub(super) fn heartbeat(&mut self, heartbeat: &Frame) -> Frame {
        self.reader.heartbeat(heartbeat, Instant::now())
    }

    /// Encodes the last frame of the response, if there is one, and the end of the coding, unless the response is cut off.
    pub(super) fn last_frame(&mut self, plain: Option<Frame>, is_cut: bool) -> Option<Frame> {
        let mut last = plain.map(|frame| self.reader.own(&frame.body())).unwrap_or_default();
        if !is_cut {
            last.extend(self.reader.end());
        }
        (!last.is_empty()).then(|| Frame::with_body(&last))
    }

    /// Returns what the coding has saved since the last call, of which so many bytes were sent.
    pub(super) fn take_saved(&mut self, sent: usize) -> u64 {
        let plain = self.reader.plain_bytes();
        let taken = self.owed + sent as u64;
        let saved = (plain - self.counted).saturating_sub(taken);
        self.owed = taken.saturating_sub(plain - self.counted);
        self.counted = plain;
        saved
    }
}

#[cfg(test)]
mod tests;
