//! Decodes a body in its content coding while it arrives.

use std::io::{self, Write as _};

/// The decoder of one body.
pub enum ContentDecoder {
    Identity,
    Gzip(Box<flate2::write::GzDecoder<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Vec<u8>>>),
}

impl ContentDecoder {
    /// Returns the decoder for a value of `Content-Encoding`.
    pub fn new(coding: &str) -> Self {
        match coding {
            "" => Self::Identity,
            "gzip" => Self::Gzip(Box::new(flate2::write::GzDecoder::new(Vec::new()))),
            "zstd" => Self::Zstd(Box::new(zstd::stream::write::Decoder::new(Vec::new()).expect("a decoder"))),
            _ => panic!("unknown content coding {coding}"),
        }
    }

    /// Returns everything that can be decoded now that these bytes have arrived.
    pub fn decode(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        Ok(match self {
            Self::Identity => bytes.to_vec(),
            Self::Gzip(decoder) => {
                decoder.write_all(bytes)?;
                decoder.flush()?;
                std::mem::take(decoder.get_mut())
            }
            Self::Zstd(decoder) => {
                decoder.write_all(bytes)?;
                decoder.flush()?;
                std::mem::take(decoder.get_mut())
            }
        })
    }

    /// Checks that the body ended as the coding asks for, at its clean end.
    pub fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Identity | Self::Zstd(_) => Ok(()),
            Self::Gzip(decoder) => decoder.try_finish(),
        }
    }
}
