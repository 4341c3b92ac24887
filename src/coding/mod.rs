//! Content codings of event streams: gzip (RFC 1952) and zstd (RFC 8878).
//!
//! Bytes come in and bytes go out. Nothing here knows events, streams or clients. Each piece that is compressed can be
//! decoded as soon as its bytes have arrived.

mod compressor;
mod content_coding;
mod content_sum;
#[cfg(test)]
pub(crate) mod decoder;
mod framing;

pub use compressor::Compressor;
pub use content_coding::ContentCoding;
pub use content_sum::{ContentSum, PieceSum, SuffixSum};
