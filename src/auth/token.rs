//! Finding the token in a request: header, cookie, query.
//!
//! Only the configured places count. At most one token comes out, and one that stands in two places is an error rather
//! than a choice, since another reader of the same request could choose differently. Does not look into the token.

use std::fmt;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

use super::denied::{Denied, TokenFault};
use super::jws::MAX_TOKEN;
use super::settings::TokenSource;

/// A token as a client sent it. Prints as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Found {
    token: String,
    from: TokenSource,
}

impl Found {
    /// A token that did not come in a request.
    pub fn new(token: impl Into<String>, from: TokenSource) -> Self {
        Self { token: token.into(), from }
    }

    /// The token, for the one place that verifies it.
    pub fn reveal(&self) -> &str {
        &self.token
    }

    /// Where it stood.
    pub fn from(&self) -> &TokenSource {
        &self.from
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("token", &"[redacted]").field("from", &self.from).finish()
    }
}

/// The one token of a request, from `headers` and the raw `query`, looking only at `places`.
///
/// # Errors
/// [`Denied::Missing`], [`Denied::Ambiguous`], or [`TokenFault::Malformed`] for a header, cookie or parameter that
/// should be a token and cannot be one.
pub fn find(places: &[TokenSource], headers: &HeaderMap, query: Option<&str>) -> Result<Found, Denied> {
    let mut found = None;
    for place in places {
        let here = match place {
            TokenSource::Header => in_header(headers)?.map(str::to_owned),
            TokenSource::Cookie(name) => in_cookie(headers, name)?.map(str::to_owned),
            TokenSource::Query(name) => in_query(query, name)?,
        };
        let here = here.map(|token| Found::new(token, place.clone()));
        if here.is_some() && std::mem::replace(&mut found, here).is_some() {
            return Err(Denied::Ambiguous);
        }
    }
    let found = found.ok_or(Denied::Missing)?;
    if found.token.is_empty() || found.token.len() > MAX_TOKEN {
        return Err(TokenFault::Malformed.into());
    }
    Ok(found)
}

/// `Authorization: Bearer b64token` (RFC 6750, 2.1). Another scheme is no token of ours: nothing is said about it.
fn in_header(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(TokenFault::Malformed.into());
    }
    let value = value.to_str().map_err(|_| TokenFault::Malformed)?;
    let end = value.bytes().position(|byte| !is_scheme_byte(byte)).unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    if scheme.is_empty() {
        return Err(TokenFault::Malformed.into());
    }
    // RFC 6750, 3.1: a method that we do not support is no authentication information, hence no error code.
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    let Some(rest) = rest.strip_prefix(' ') else { return Err(TokenFault::Malformed.into()) };
    // 1*SP (RFC 9110, 11.4).
    let token = rest.trim_start_matches(' ');
    if token.is_empty() || !token.bytes().all(is_b64token) {
        return Err(TokenFault::Malformed.into());
    }
    Ok(Some(token))
}

/// RFC 9110, 5.6.2: `tchar`.
fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 6750, 2.1.
fn is_b64token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

/// The cookie of this name over all `Cookie` fields (HTTP/2 sends them apart: RFC 9113, 8.2.3).
fn in_cookie<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Denied> {
    let mut found = None;
    for field in headers.get_all(COOKIE) {
        for pair in field.as_bytes().split(|&byte| byte == b';') {
            let pair = pair.trim_ascii();
            let Some((this, value)) = pair.split_once_byte(b'=') else { continue };
            // A cookie's name is case-sensitive (RFC 6265, 5.3).
            if this.trim_ascii_end() != name.as_bytes() {
                continue;
            }
            if found.is_some() {
                return Err(Denied::Ambiguous);
            }
            let value = std::str::from_utf8(value.trim_ascii()).map_err(|_| TokenFault::Malformed)?;
            // RFC 6265, 4.1.1: a value may stand in quotes.
            let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
            if !bare.bytes().all(is_b64token) {
                return Err(TokenFault::Malformed.into());
            }
            found = Some(bare);
        }
    }
    // An emptied cookie is how a logout is often written.
    Ok(found.filter(|token| !token.is_empty()))
}

/// The query parameter of this name (RFC 6750, 2.3), percent-decoded.
fn in_query(query: Option<&str>, name: &str) -> Result<Option<String>, Denied> {
    let mut found = None;
    for (this, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if this != name {
            continue;
        }
        if found.is_some() {
            return Err(Denied::Ambiguous);
        }
        if value.is_empty() || !value.bytes().all(is_b64token) {
            return Err(TokenFault::Malformed.into());
        }
        found = Some(value.into_owned());
    }
    Ok(found)
}

trait SplitOnceByte {
    fn split_once_byte(&self, byte: u8) -> Option<(&[u8], &[u8])>;
}

impl SplitOnceByte for [u8] {
    fn split_once_byte(&self, byte: u8) -> Option<(&[u8], &[u8])> {
        let at = memchr::memchr(byte, self)?;
        Some((&self[..at], &self[at + 1..]))
    }
}

#[cfg(test)]
mod tests;
