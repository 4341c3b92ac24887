//! A compressor whose pieces can be decoded one by one.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

use super::content_coding::ContentCoding;

/// Compresses pieces of content in one context: each may refer back to those before it.
pub struct Compressor(Encoders);

enum Encoders {
    Deflate(Deflate),
    Zstd(Encoder<'static>),
}

impl Compressor {
    /// Creates a compressor with an empty context.
    pub fn new(coding: ContentCoding) -> Self {
        Self(match coding {
            ContentCoding::Gzip => Encoders::Deflate(Deflate::new_with_config(DeflateConfig {
                level: DEFLATE_LEVEL,
                window_bits: -DEFLATE_WINDOW,
                mem_level: DEFLATE_MEM_LEVEL,
                ..DeflateConfig::default()
            })),
            ContentCoding::Zstd => {
                let mut encoder = Encoder::new(ZSTD_LEVEL).expect("zstd can allocate");
                for parameter in ZSTD_PARAMETERS {
                    encoder.set_parameter(parameter).expect("the parameters are within zstd's bounds");
                }
                Encoders::Zstd(encoder)
            }
        })
    }

    /// Returns the memory of a compressor, in bytes, as measured.
    pub fn memory(coding: ContentCoding) -> usize {
        match coding {
            ContentCoding::Gzip => 212 * 1024,
            ContentCoding::Zstd => 126 * 1024,
        }
    }

    /// Forgets the context. The next piece refers to none before it.
    pub fn reset(&mut self) {
        match &mut self.0 {
            Encoders::Deflate(deflate) => deflate.reset(),
            Encoders::Zstd(zstd) => zstd.reinit().expect("zstd can begin a frame anew"),
        }
    }

    /// Compresses a piece. It can be decoded as soon as its bytes are there, after the pieces of the context before it.
    pub fn compress(&mut self, piece: &[u8]) -> Vec<u8> {
        match &mut self.0 {
            Encoders::Deflate(deflate) => {
                let (read, written) = (deflate.total_in(), deflate.total_out());
                let since = |total: u64, before: u64| usize::try_from(total - before).expect("no more than there is");
                let (mut compressed, mut filled) = (vec![0; piece.len() / 2 + MIN_ROOM], 0);
                loop {
                    let taken = since(deflate.total_in(), read);
                    deflate
                        .compress(&piece[taken..], &mut compressed[filled..], DeflateFlush::SyncFlush)
                        .expect("deflate takes any input");
                    filled = since(deflate.total_out(), written);
                    // Room that is left shows that nothing waits any more.
                    if filled < compressed.len() {
                        compressed.truncate(filled);
                        return compressed;
                    }
                    compressed.resize(2 * filled, 0);
                }
            }
            Encoders::Zstd(zstd) => {
                let mut compressed = Vec::with_capacity(piece.len() / 2 + MIN_ROOM);
                let mut input = InBuffer::around(piece);
                loop {
                    let filled = compressed.len();
                    let mut output = OutBuffer::around_pos(&mut compressed, filled);
                    if input.pos < piece.len() {
                        zstd.run(&mut input, &mut output).expect("zstd takes any input");
                    }
                    let is_taken = input.pos == piece.len();
                    if is_taken && zstd.flush(&mut output).expect("zstd can flush") == 0 {
                        return compressed;
                    }
                    compressed.reserve(MIN_ROOM.max(compressed.len()));
                }
            }
        }
    }
}

/// As gzip's default.
const DEFLATE_LEVEL: i32 = 6;

/// The logarithm of the bytes that deflate looks back.
const DEFLATE_WINDOW: i32 = 14;

/// The logarithm, less 6, of the symbols that a block has at most. Pieces are short, and each ends a block: zlib's default of 8
/// would take 98 KiB more for symbols that never come.
const DEFLATE_MEM_LEVEL: i32 = 5;

const ZSTD_LEVEL: i32 = 3;

/// A small context, since pieces are small: zstd's own tables for this level take over a megabyte.
const ZSTD_PARAMETERS: [CParameter; 3] = [CParameter::WindowLog(15), CParameter::HashLog(13), CParameter::ChainLog(13)];

/// The least room for compressed bytes.
const MIN_ROOM: usize = 64;

#[cfg(test)]
mod tests;
