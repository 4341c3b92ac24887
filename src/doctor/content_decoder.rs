//! Decoding of a response's content as it arrives: what can be decoded of the bytes so far, as a browser does.

use std::io::Write as _;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zlib_rs::{Inflate, InflateFlush, Status};

/// Decodes content that arrives in pieces.
pub(super) enum ContentDecoder {
    /// The bytes are the text.
    Identity,
    /// gzip (RFC 1952), or deflate in the zlib format (RFC 1950).
    Deflate(Box<Inflate>),
    /// Zstandard (RFC 8878).
    Zstd(Box<zstd::stream::write::Decoder<'static, Vec<u8>>>),
    /// A coding that is not known here, such as Brotli, or bytes that are invalid in theirs.
    Opaque,
}

impl ContentDecoder {
    /// Chooses the decoder for a response with these fields.
    pub(super) fn for_response(headers: &HeaderMap) -> Self {
        match coding(headers).as_deref() {
            None => Self::Identity,
            Some("gzip" | "x-gzip" | "deflate") => Self::Deflate(Box::new(Inflate::new(true, EITHER_HEADER))),
            Some("zstd") => zstd::stream::write::Decoder::new(Vec::new())
                .map_or(Self::Opaque, |decoder| Self::Zstd(Box::new(decoder))),
            Some(_) => Self::Opaque,
        }
    }

    /// Passes the text that these bytes complete to `read`, in pieces. Returns false if they have to count as text
    /// themselves, since they cannot be decoded.
    pub(super) fn decode(&mut self, bytes: &[u8], read: &mut dyn FnMut(&[u8])) -> bool {
        // In small steps, so that bytes which expand a thousandfold do not fill the memory.
        for step in bytes.chunks(STEP_BYTES) {
            let decoded = match self {
                Self::Identity => {
                    read(step);
                    continue;
                }
                Self::Deflate(decoder) => inflate(decoder, step),
                Self::Zstd(decoder) => {
                    let written = decoder.write_all(step).and_then(|()| decoder.flush());
                    written.ok().map(|()| std::mem::take(decoder.get_mut()))
                }
                Self::Opaque => None,
            };
            match decoded {
                Some(text) => read(&text),
                None => {
                    *self = Self::Opaque;
                    return false;
                }
            }
        }
        true
    }
}

/// Returns the text that these bytes complete. `None`: they are invalid.
fn inflate(decoder: &mut Inflate, mut bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let status = decoder.decompress(bytes, &mut buffer, InflateFlush::SyncFlush).ok()?;
        bytes = bytes.get(usize::try_from(decoder.total_in() - read).ok()?..)?;
        let written = usize::try_from(decoder.total_out() - written).ok()?;
        text.extend_from_slice(buffer.get(..written)?);
        // A buffer that is not full has room for everything that these bytes hold.
        if status == Status::StreamEnd || written < buffer.len() {
            return Some(text);
        }
    }
}

/// Returns the last content coding of a response in lower case, if it has one.
pub(super) fn coding(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(CONTENT_ENCODING).into_iter().filter_map(|line| line.to_str().ok());
    let mut names = lines.flat_map(|line| line.split(',')).map(|name| name.trim().to_ascii_lowercase());
    names.rfind(|name| !matches!(name.as_str(), "" | "identity" | "none"))
}

/// The largest window (15 bits), with the header of gzip or zlib, whichever comes (32).
const EITHER_HEADER: u8 = 15 + 32;

/// The bytes of one step of decoding.
const STEP_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_there_as_soon_as_its_bytes_were_flushed() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"data: 1\n\n").and_then(|()| gzip.flush()).expect("memory takes everything");
        let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
        zstd.write_all(b"data: 1\n\n").and_then(|()| zstd.flush()).expect("memory takes everything");

        for (name, bytes) in [("gzip", gzip.get_ref()), ("zstd", zstd.get_ref())] {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, name.parse().expect("a value"))]);
            let (mut decoder, mut text) = (ContentDecoder::for_response(&headers), Vec::new());
            for byte in bytes {
                assert!(decoder.decode(&[*byte], &mut |piece| text.extend_from_slice(piece)), "{name}");
            }
            assert_eq!(text, b"data: 1\n\n", "{name}");
        }
    }

    #[test]
    fn bytes_that_cannot_be_decoded_count_themselves() {
        for name in ["br", "gzip"] {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, name.parse().expect("a value"))]);
            let mut decoder = ContentDecoder::for_response(&headers);

            assert!(!decoder.decode(b"this is no gzip at all", &mut |_| {}), "{name}");
        }
    }
}
