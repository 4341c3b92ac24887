//! Extraction of the token from a request: header, cookie, query, or a field that a proxy sets.
//!
//! Only the configured places are searched. A token in two of them is an error rather than a choice, because another
//! reader of the same request could choose differently. Only cookies may repeat: browsers send one of the host and one
//! of its parent domain under the same name (RFC 6265, 5.4). Does not parse tokens.

use std::fmt;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};
use serde::{Deserialize, Serialize};

use crate::auth::denied::{Denied, TokenFault};

/// A place in a request where a token is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenSource {
    /// `Authorization: Bearer …` (RFC 6750, 2.1).
    Header,
    /// A field with this lower-case name that something in front of the gateway sets, such as an access proxy.
    Field(String),
    /// The cookie with this name.
    Cookie(String),
    /// The query parameter with this name (RFC 6750, 2.3; off unless configured).
    Query(String),
}

impl TokenSource {
    /// Whether the browser or a proxy adds the credential by itself, so that any page could send it without knowing it.
    pub fn is_ambient(&self) -> bool {
        match self {
            Self::Cookie(_) | Self::Field(_) => true,
            Self::Header | Self::Query(_) => false,
        }
    }
}

/// The tokens of a request, from one source and in order. Several only if several cookies have the same name. The
/// `Debug` form is `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PresentedTokens {
    /// Never empty.
    tokens: Vec<String>,
    source: TokenSource,
}

impl PresentedTokens {
    /// Wraps a token that did not come in a request.
    pub(crate) fn new(token: impl Into<String>, source: TokenSource) -> Self {
        Self { tokens: vec![token.into()], source }
    }

    /// Returns the tokens in the clear, for the one place that verifies them. No two are equal.
    pub(crate) fn reveal(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(String::as_str)
    }

    /// Returns the place where the tokens were found.
    pub(crate) fn source(&self) -> &TokenSource {
        &self.source
    }
}

impl fmt::Debug for PresentedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedTokens").field("tokens", &"[redacted]").field("source", &self.source).finish()
    }
}

/// Finds the token of a request in `headers` and the raw `query`, looking only at `sources`. If a field that a proxy
/// sets is present, the other sources are ignored: the proxy has identified the client.
///
/// # Errors
/// [`Denied::Missing`], [`Denied::Ambiguous`], or [`TokenFault::Malformed`] for a header, cookie or parameter that
/// cannot be a token.
pub(crate) fn find(
    sources: &[TokenSource],
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<PresentedTokens, Denied> {
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

/// Reads `Authorization: Bearer b64token` (RFC 6750, 2.1). A header with another scheme counts as absent.
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
    // RFC 6750, 3.1: an unsupported method is no authentication information, hence no error code.
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    let Some(rest) = rest.strip_prefix(' ') else { return Err(TokenFault::Malformed.into()) };
    // 1*SP (RFC 9110, 11.4).
    check_b64token(rest.trim_start_matches(' ')).map(Some)
}

/// Reads the field with this name: a bare token, or one after `Bearer `.
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

/// `tchar` of RFC 9110, 5.6.2.
fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A byte of `b64token` (RFC 6750, 2.1).
fn is_b64token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

/// Returns the distinct cookies with this name from all `Cookie` fields (HTTP/2 splits them: RFC 9113, 8.2.3). A cookie
/// that cannot be a token may be another application's for a parent domain, so it is an error only if there is no
/// other.
fn from_cookies<'h>(headers: &'h HeaderMap, name: &str) -> Result<Vec<&'h str>, Denied> {
    let mut found = Vec::new();
    let mut is_malformed = false;
    for field in headers.get_all(COOKIE) {
        for pair in field.as_bytes().split(|&byte| byte == b';') {
            let Some((found_name, value)) = pair.split_once_byte(b'=') else { continue };
            // The name of a cookie is case-sensitive (RFC 6265, 5.3).
            if found_name.trim_ascii() != name.as_bytes() {
                continue;
            }
            let value = std::str::from_utf8(value.trim_ascii()).unwrap_or("not UTF-8");
            // The value may be quoted (RFC 6265, 4.1.1).
            let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
            match check_b64token(bare) {
                Ok(token) if found.contains(&token) => {}
                Ok(token) => found.push(token),
                // Applications often write a logout as an empty cookie.
                Err(_) => is_malformed |= !bare.is_empty(),
            }
        }
    }
    if found.is_empty() && is_malformed {
        return Err(TokenFault::Malformed.into());
    }
    Ok(found)
}

/// Reads the query parameter with this name (RFC 6750, 2.3), percent-decoded.
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
