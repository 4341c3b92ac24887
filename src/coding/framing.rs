//! The bytes around compressed pieces: the start and the end of content, and pieces that are not compressed.
//!
//! A compressed piece refers back to the pieces before it, so nothing may come between two pieces of one context. What has
//! no content is the exception: an empty block.

use super::content_coding::ContentCoding;
use super::content_sum::ContentSum;

impl ContentCoding {
    /// Returns the bytes before all content.
    pub fn start(self) -> &'static [u8] {
        match self {
            // No flags, no time, no name, unknown system (RFC 1952, 2.3).
            Self::Gzip => &[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF],
            Self::Zstd => &[],
        }
    }

    /// Returns a block without content, which may come between two pieces of one context.
    pub fn empty_block(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0, 0, 0, 0xFF, 0xFF],
            Self::Zstd => &[0, 0, 0],
        }
    }

    /// Returns the bytes that must come after the last piece of a context, before anything else.
    ///
    /// For zstd their content is an empty comment, which every reader of events ignores. Without content they would be
    /// valid, but Chromium's decoder stops where a frame ends, and if that gave it no content, it looks at what it has
    /// received beyond only when more arrives: each event would be seen with the next one.
    pub fn end_of_context(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[],
            // The last block of a frame, raw, of two bytes (RFC 8878, 3.1.1.2).
            Self::Zstd => &[1 | 2 << 3, 0, 0, b':', b'\n'],
        }
    }

    /// Returns the bytes after all content.
    pub fn end(self, sum: ContentSum) -> Vec<u8> {
        match self {
            Self::Gzip => {
                // A final block without content, the checksum, and the length modulo 2^32 (RFC 1952, 2.3.1).
                let mut end = vec![3, 0];
                end.extend_from_slice(&sum.crc().to_le_bytes());
                end.extend_from_slice(&sum.bytes().to_le_bytes()[..4]);
                end
            }
            Self::Zstd => Vec::new(),
        }
    }

    /// Returns these bytes in a form that is not compressed and belongs to no context.
    pub fn store(self, bytes: &[u8]) -> Vec<u8> {
        if bytes.is_empty() {
            return Vec::new();
        }
        let mut stored = Vec::with_capacity(bytes.len() + STORED_OVERHEAD);
        match self {
            Self::Gzip => {
                for block in bytes.chunks(usize::from(u16::MAX)) {
                    let len = u16::try_from(block.len()).expect("blocks are no longer");
                    stored.push(0);
                    stored.extend_from_slice(&len.to_le_bytes());
                    stored.extend_from_slice(&(!len).to_le_bytes());
                    stored.extend_from_slice(block);
                }
            }
            Self::Zstd => {
                // A frame of raw blocks: no checksum, no size, and a window as large as a block may be (RFC 8878, 3.1.1).
                stored.extend_from_slice(&[0x28, 0xB5, 0x2F, 0xFD, 0, 7 << 3]);
                let mut blocks = bytes.chunks(ZSTD_BLOCK).peekable();
                while let Some(block) = blocks.next() {
                    let is_last = u32::from(blocks.peek().is_none());
                    let len = u32::try_from(block.len()).expect("blocks are no longer");
                    stored.extend_from_slice(&(is_last | len << 3).to_le_bytes()[..3]);
                    stored.extend_from_slice(block);
                }
            }
        }
        stored
    }
}

/// Bytes of the framing of stored content that fits into one block, at most.
const STORED_OVERHEAD: usize = 16;

/// The most bytes of a block (RFC 8878, 3.1.1.2.4).
const ZSTD_BLOCK: usize = 128 * 1024;
