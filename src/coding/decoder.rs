//! A decoder for tests: it shows what a client has decoded of the bytes that have arrived.

use flate2::{Decompress, FlushDecompress};
use zstd::stream::raw::{InBuffer, Operation as _, OutBuffer};

use super::content_coding::ContentCoding;

/// Decodes content that arrives in pieces, as a client does.
pub(crate) enum Decoder {
    Gzip(Decompress),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

impl Decoder {
    /// Creates a decoder. For gzip it begins after the header.
    pub(crate) fn new(coding: ContentCoding) -> Self {
        match coding {
            ContentCoding::Gzip => Self::Gzip(Decompress::new(false)),
            ContentCoding::Zstd => Self::Zstd(zstd::stream::raw::Decoder::new().expect("a decoder")),
        }
    }

    /// Returns what can be decoded once these bytes have arrived.
    pub(crate) fn decode(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        match self {
            Self::Gzip(inflate) => loop {
                content.reserve(4096);
                let before = inflate.total_in();
                inflate.decompress_vec(bytes, &mut content, FlushDecompress::Sync).expect("deflate blocks");
                bytes = &bytes[usize::try_from(inflate.total_in() - before).expect("few")..];
                if content.len() < content.capacity() {
                    assert!(bytes.is_empty(), "everything is read");
                    return content;
                }
            },
            Self::Zstd(decoder) => {
                let mut input = InBuffer::around(bytes);
                loop {
                    content.reserve(4096);
                    let filled = content.len();
                    decoder.run(&mut input, &mut OutBuffer::around_pos(&mut content, filled)).expect("zstd frames");
                    assert!(
                        content.len() > filled || input.pos == bytes.len(),
                        "Chromium would leave the rest of these bytes until more arrive"
                    );
                    if input.pos == bytes.len() && content.len() < content.capacity() {
                        return content;
                    }
                }
            }
        }
    }
}
