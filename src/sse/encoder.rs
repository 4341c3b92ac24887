//! Encoding of events to `text/event-stream` lines, once for all clients and for both transports.
//!
//! No value breaks out of its field. A line end in the data starts another `data` line, one in a comment starts another
//! comment, and one in a type is removed. The encoded bytes parse to the same event. A frame without lines has no bytes
//! at all, because a chunk of size zero would end an HTTP/1.1 body.
//!
//! Does not decide the time of a write, and does not write.

use std::io::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use super::{Event, EventId};

/// Builds one [`Frame`], line by line.
#[derive(Debug)]
pub struct Encoder {
    /// Room for the longest chunk-size line, followed by the lines.
    bytes: Vec<u8>,
}

/// Complete SSE lines, encoded once, with the framing of one HTTP/1.1 chunk around them (RFC 9112, 7.1).
///
/// One allocation serves both transports; clones share it.
///
/// ```text
///   2A CRLF  id: 7 LF  data: x LF  LF  CRLF
///   |        |------- body ---------|     |
///   |--------------- chunk ---------------|
/// ```
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Empty, or the chunk-size line, the body and CRLF.
    chunk: Bytes,
    /// The offset of the body.
    start: usize,
}

impl Encoder {
    /// Creates an empty encoder.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    fn with_capacity(body: usize) -> Self {
        let mut bytes = Vec::with_capacity(SIZE_LINE + body + LINE_END.len());
        bytes.resize(SIZE_LINE, 0);
        Self { bytes }
    }

    /// Writes an event with its own id, if it has one, and the blank line that dispatches it.
    pub fn event(&mut self, event: &Event) -> &mut Self {
        if let Some(id) = &event.id {
            self.id(id);
        }
        // Only our own code can put a line end into a type. Without it the type stays a single field.
        if event.kind.bytes().any(|byte| !matches!(byte, b'\r' | b'\n')) {
            self.bytes.extend_from_slice(b"event: ");
            self.bytes.extend(event.kind.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
            self.bytes.push(b'\n');
        }
        for line in lines(&event.data) {
            self.field(b"data: ", line);
        }
        self.blank_line()
    }

    /// Writes an `id` line. It belongs to the block that the next blank line ends.
    pub fn id(&mut self, id: &EventId) -> &mut Self {
        self.field(b"id: ", id.as_str().as_bytes())
    }

    /// Writes a reconnection time in whole milliseconds, at most `u32::MAX`.
    pub fn retry(&mut self, time: Duration) -> &mut Self {
        let milliseconds = time.as_millis().min(u128::from(u32::MAX));
        self.field(b"retry: ", milliseconds.to_string().as_bytes())
    }

    /// Writes a comment, one comment line for each line of the text.
    pub fn comment(&mut self, text: &str) -> &mut Self {
        for line in lines(text) {
            let start: &[u8] = if line.is_empty() { b":" } else { b": " };
            self.field(start, line);
        }
        self
    }

    /// Writes a blank line, which ends a block.
    pub fn blank_line(&mut self) -> &mut Self {
        self.bytes.push(b'\n');
        self
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == SIZE_LINE
    }

    /// Completes the chunk. An empty encoder makes an empty frame, never a chunk of size zero.
    pub fn finish(mut self) -> Frame {
        if self.is_empty() {
            return Frame::default();
        }
        let size = self.bytes.len() - SIZE_LINE;
        self.bytes.extend_from_slice(LINE_END);
        // The digits end right before the body. Leading zeros would be valid, but each client would receive them.
        let digits = (size.ilog2() / 4 + 1) as usize;
        let unused = SIZE_LINE - LINE_END.len() - digits;
        write!(&mut self.bytes[unused..SIZE_LINE], "{size:X}\r\n")
            .expect("the reserved bytes hold the digits of any usize");
        Frame { chunk: Bytes::from(self.bytes.into_boxed_slice()).slice(unused..), start: SIZE_LINE - unused }
    }

    /// Returns the lines alone, in an allocation of their size.
    pub fn into_lines(self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes[SIZE_LINE..])
    }

    fn field(&mut self, start: &[u8], value: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(start);
        self.bytes.extend_from_slice(value);
        self.bytes.push(b'\n');
        self
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Frame {
    /// Returns a frame with this body: lines that [`Self::body`] returned, or bytes in a content coding.
    pub fn with_body(body: &[u8]) -> Self {
        let mut encoder = Encoder::with_capacity(body.len());
        encoder.bytes.extend_from_slice(body);
        encoder.finish()
    }

    /// Returns the frame of a chunk that [`Self::chunk`] returned.
    pub fn from_chunk(chunk: Bytes) -> Self {
        let start = memchr::memchr(b'\n', &chunk).map_or(0, |end| end + 1);
        Self { chunk, start }
    }

    /// Returns the same frame in `buffer`, beside those that were put there before it, so that small frames do not take an
    /// allocation each. The memory is held until the last frame that lies in it is dropped. A full buffer is replaced by
    /// another of the size that it was created with.
    pub fn moved_to(self, buffer: &mut BytesMut) -> Self {
        if self.is_empty() {
            return self;
        }
        buffer.extend_from_slice(&self.chunk);
        Self { chunk: buffer.split().freeze(), start: self.start }
    }

    /// Returns true if nothing else refers to the memory of this frame.
    pub fn is_unique(&self) -> bool {
        self.chunk.is_unique()
    }

    /// Returns the lines as one HTTP/1.1 chunk: chunk-size line, lines, CRLF.
    pub fn chunk(&self) -> Bytes {
        self.chunk.clone()
    }

    /// Borrows the chunk without touching the reference count that all clients share.
    pub fn as_chunk(&self) -> &[u8] {
        &self.chunk
    }

    /// Returns the lines alone, for HTTP/2 and for bodies that end with the connection. A slice of the same allocation.
    pub fn body(&self) -> Bytes {
        self.chunk.slice(self.start..self.start + self.len())
    }

    /// Returns the size of the lines in bytes.
    pub fn len(&self) -> usize {
        self.chunk.len().saturating_sub(self.start + LINE_END.len())
    }

    /// Whether there are no lines. Chunk and body are then empty.
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty()
    }
}

impl From<&Event> for Frame {
    fn from(event: &Event) -> Self {
        let id = event.id.as_ref().map_or(0, |id| id.as_str().len() + "id: \n".len());
        let data_lines = 1 + memchr::memchr_iter(b'\n', event.data.as_bytes()).count();
        let data = event.data.len() + data_lines * "data: ".len() + 1;
        let kind = if event.kind.is_empty() { 0 } else { event.kind.len() + "event: \n".len() };
        let mut encoder = Encoder::with_capacity(id + kind + data + 1);
        encoder.event(event);
        encoder.finish()
    }
}

/// Splits a text by the rules of the standard: CR, LF and CRLF each end a line. A text without line ends is one line.
fn lines(text: &str) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text.as_bytes());
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = memchr2(b'\r', b'\n', text) else {
            return rest.take();
        };
        let after = if text[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        rest = Some(&text[after..]);
        Some(&text[..end])
    })
}

const LINE_END: &[u8] = b"\r\n";

/// Sixteen hexadecimal digits hold any `usize`.
const SIZE_LINE: usize = 16 + LINE_END.len();

#[cfg(test)]
mod tests;
