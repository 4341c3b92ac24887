//! Detects responses that an upstream compressed although it was asked not to.
//!
//! Only registered codings are refused. Producers send other values to keep intermediaries from compressing (most often
//! `none`). A directly connected client reads such a response as it is, and so does the gateway.

use http::header::{CONTENT_ENCODING, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName};

/// Returns the header field and the coding that make the response unreadable, if any.
pub(super) fn find_coding(headers: &HeaderMap) -> Option<(HeaderName, &'static str)> {
    [CONTENT_ENCODING, TRANSFER_ENCODING].into_iter().find_map(|field| {
        let lines = headers.get_all(&field).into_iter().map(|line| line.as_bytes());
        let mut codings = lines.flat_map(|line| line.split(|&byte| byte == b',')).map(name);
        let known = codings
            .find_map(|name| REGISTERED_CODINGS.iter().find(|known| name.eq_ignore_ascii_case(known.as_bytes())))?;
        Some((field, *known))
    })
}

/// Strips white space and the parameters that transfer codings may have (RFC 9112, 7).
fn name(coding: &[u8]) -> &[u8] {
    coding.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
}

/// IANA's HTTP Content Coding Registry without `identity`.
const REGISTERED_CODINGS: &[&str] = &[
    "aes128gcm",
    "br",
    "compress",
    "dcb",
    "dcz",
    "deflate",
    "exi",
    "gzip",
    "pack200-gzip",
    "x-compress",
    "x-gzip",
    "zstd",
];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn coding_of(fields: &[(HeaderName, &'static str)]) -> Option<(HeaderName, &'static str)> {
        let fields = fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        find_coding(&headers)
    }

    #[test]
    fn unregistered_values_are_ignored() {
        for value in ["", "none", "identity", "IDENTITY", "identity, identity", "utf-8", "chunked", "gzipped", ",,"] {
            assert_eq!(coding_of(&[(CONTENT_ENCODING, value)]), None, "{value:?}");
            assert_eq!(coding_of(&[(CONTENT_ENCODING, "identity"), (CONTENT_ENCODING, value)]), None, "{value:?}");
        }
        assert_eq!(coding_of(&[(TRANSFER_ENCODING, "chunked")]), None);
        assert_eq!(coding_of(&[]), None);
    }

    #[test]
    fn a_registered_coding_is_found_on_any_line_and_in_any_list() {
        for (value, coding) in [("gzip", "gzip"), ("X-Gzip", "x-gzip"), ("identity, br", "br"), ("\tzstd ,", "zstd")] {
            assert_eq!(coding_of(&[(CONTENT_ENCODING, value)]), Some((CONTENT_ENCODING, coding)), "{value:?}");
            let twice = [(CONTENT_ENCODING, "identity"), (CONTENT_ENCODING, value)];
            assert_eq!(coding_of(&twice), Some((CONTENT_ENCODING, coding)), "{value:?}");
        }
        for value in ["gzip, chunked", "gzip;q=1,chunked", "gzip"] {
            assert_eq!(coding_of(&[(TRANSFER_ENCODING, value)]), Some((TRANSFER_ENCODING, "gzip")), "{value:?}");
        }
        assert_eq!(
            coding_of(&[(TRANSFER_ENCODING, "gzip"), (TRANSFER_ENCODING, "chunked")]).map(|found| found.1),
            Some("gzip")
        );
    }
}
