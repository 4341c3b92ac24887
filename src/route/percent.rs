//! Percent-encoding (RFC 3986, 2.1), in the one form that leaves the gateway: upper-case digits, shortest UTF-8.
//!
//! Does not decode: that is where the reading happens, with its refusals.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The pieces of one path segment. What a segment may hold unencoded stays as it is.
pub fn segment(value: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(value, SEGMENT)
}

/// The pieces of a name or a value in a query: everything but unreserved characters is encoded.
pub fn query(value: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(value, QUERY)
}

/// RFC 3986, 2.3.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// RFC 3986, 3.3: `pchar`.
const SEGMENT: &AsciiSet = &QUERY
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');
