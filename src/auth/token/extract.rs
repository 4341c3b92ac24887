//! Finding the token in a request: header, cookie, query, or a field that something in front writes.
//!
//! Only the configured places count, and one of them: a token that stands in two places is an error rather than a
//! choice, since another reader of the same request could choose differently. Only of a cookie there may be several, as
//! browsers send one of the host and one of its parent domain under one name (RFC 6265, 5.4). Does not look into tokens.

use std::fmt;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

use crate::auth::denied::{Denied, TokenFault};

/// A place where a token may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer …` (RFC 6750, 2.1).
    Header,
    /// The field of this name, in lower case, that something in front of the gateway writes, such as an access proxy.
    Field(String),
    /// The cookie of this name.
    Cookie(String),
    /// The query parameter of this name (RFC 6750, 2.3; off unless named).
    Query(String),
}

impl TokenSource {
    /// Whether a browser's request gets the token without the page having it, so that any page could send it.
    pub fn is_ambient(&self) -> bool {
        match self {
            Self::Cookie(_) | Self::Field(_) => true,
            Self::Header | Self::Query(_) => false,
        }
    }
}

/// The token as a client sent it, or several of one name, in the order of the request. Prints as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct PresentedTokens {
    /// Never empty.
    tokens: Vec<String>,
    source: TokenSource,
}

impl PresentedTokens {
    /// A token that did not come in a request.
    pub fn new(token: impl Into<String>, source: TokenSource) -> Self {
        Self { tokens: vec![token.into()], source }
    }

    /// The tokens, for the one place that verifies them. No two are the same.
    pub fn reveal(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(String::as_str)
    }

    /// Where it stood.
    pub fn source(&self) -> &TokenSource {
        &self.source
    }
}

impl fmt::Debug for PresentedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedTokens").field("tokens", &"[redacted]").field("source", &self.source).finish()
    }
}

/// The token of a request, from `headers` and the raw `query`, looking only at `places`. Where a field is present that
/// something in front writes, the other places are not looked at: it has said who asks.
///
/// # Errors
/// [`Denied::Missing`], [`Denied::Ambiguous`], or [`TokenFault::Malformed`] for a header, cookie or parameter that
/// should be a token and cannot be one.
pub fn find(sources: &[TokenSource], headers: &HeaderMap, query: Option<&str>) -> Result<PresentedTokens, Denied> {
    let is_present_field =
        |source: &&TokenSource| matches!(source, TokenSource::Field(name) if headers.contains_key(name));
    if sources.iter().any(|source| is_present_field(&source)) {
        return find_in(sources.iter().filter(is_present_field), headers, query);
    }
    find_in(sources.iter(), headers, query)
}

fn find_in<'p>(
    sources: impl Iterator<Item = &'p TokenSource>,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<PresentedTokens, Denied> {
    let mut found = None;
    for source in sources {
        let tokens = match source {
            TokenSource::Header => from_authorization(headers)?.into_iter().map(str::to_owned).collect(),
            TokenSource::Field(name) => from_field(headers, name)?.into_iter().map(str::to_owned).collect(),
            TokenSource::Cookie(name) => from_cookies(headers, name)?.into_iter().map(str::to_owned).collect(),
            TokenSource::Query(name) => from_query(query, name)?.into_iter().collect::<Vec<_>>(),
        };
        if tokens.is_empty() {
            continue;
        }
        if found.replace(PresentedTokens { tokens, source: source.clone() }).is_some() {
            return Err(Denied::Ambiguous);
        }
    }
    found.ok_or(Denied::Missing)
}

/// `Authorization: Bearer b64token` (RFC 6750, 2.1). Another scheme is no token of ours: nothing is said about it.
fn from_authorization(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
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
    check_b64token(rest.trim_start_matches(' ')).map(Some)
}

/// The field of this name: the bare token, or after `Bearer `.
fn from_field<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Denied> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(TokenFault::Malformed.into());
    }
    let value = value.to_str().map_err(|_| TokenFault::Malformed)?;
    let bare = match value.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim_start_matches(' '),
        _ => value,
    };
    check_b64token(bare).map(Some)
}

fn check_b64token(token: &str) -> Result<&str, Denied> {
    if token.is_empty() || !token.bytes().all(is_b64token) {
        return Err(TokenFault::Malformed.into());
    }
    Ok(token)
}

/// RFC 9110, 5.6.2: `tchar`.
fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 6750, 2.1.
fn is_b64token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

/// The cookies of this name over all `Cookie` fields (HTTP/2 sends them apart: RFC 9113, 8.2.3), each value once. One
/// that cannot be a token, as another application may have set it for a parent domain, only counts where it is alone.
fn from_cookies<'h>(headers: &'h HeaderMap, name: &str) -> Result<Vec<&'h str>, Denied> {
    let mut found = Vec::new();
    let mut is_malformed = false;
    for field in headers.get_all(COOKIE) {
        for pair in field.as_bytes().split(|&byte| byte == b';') {
            let Some((found_name, value)) = pair.split_once_byte(b'=') else { continue };
            // A cookie's name is case-sensitive (RFC 6265, 5.3).
            if found_name.trim_ascii() != name.as_bytes() {
                continue;
            }
            let value = std::str::from_utf8(value.trim_ascii()).unwrap_or("not UTF-8");
            // RFC 6265, 4.1.1: a value may stand in quotes.
            let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
            match check_b64token(bare) {
                Ok(token) if found.contains(&token) => {}
                Ok(token) => found.push(token),
                // An emptied cookie is how a logout is often written.
                Err(_) => is_malformed |= !bare.is_empty(),
            }
        }
    }
    if found.is_empty() && is_malformed {
        return Err(TokenFault::Malformed.into());
    }
    Ok(found)
}

/// The query parameter of this name (RFC 6750, 2.3), percent-decoded.
fn from_query(query: Option<&str>, name: &str) -> Result<Option<String>, Denied> {
    let mut found = None;
    for (found_name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if found_name != name {
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
