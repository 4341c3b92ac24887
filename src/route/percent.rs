//! Percent-encoding (RFC 3986, 2.1) in the one form that the gateway sends: UTF-8 in upper-case hexadecimal digits.
//!
//! Does not decode. Each reader does that, with its own refusals.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Returns the pieces of an encoded path segment. Characters that a segment may hold stay as they are.
pub fn segment(value: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(value, SEGMENT)
}

/// Returns the pieces of an encoded name or value of a query. All but unreserved characters are encoded.
pub fn query(value: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(value, QUERY)
}

/// Appends a parameter to a query, behind `&` unless it is the first.
pub fn push_parameter(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.extend(self::query(name).chain(["="]).chain(self::query(value)));
}

/// Everything but unreserved characters (RFC 3986, 2.3).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Everything but `pchar` (RFC 3986, 3.3).
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
