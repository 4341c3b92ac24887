//! The target of a request: host, canonical path and query.
//!
//! HTTP/1 and HTTP/2 have the host in different places. A request with two different hosts is refused (RFC 9112, 3.2;
//! RFC 9113, 8.3.1).

use http::header::HOST;
use http::request::Parts;
use http::{Version, uri::Authority};

use super::query::Query;
use crate::http::response::rejection::Rejection;
use crate::route::path::{CanonicalPath, PathFault};

/// The most bytes of a path. Path and query together may have as many, and a token.
const URI_BYTES: usize = 8 * 1024;

/// The target of a request.
#[derive(Debug)]
pub(crate) struct RequestTarget {
    /// Host and port as the client wrote them; empty for an HTTP/1.0 request without a host.
    pub authority: String,
    /// The path in its canonical form.
    pub path: CanonicalPath,
    /// Whether the path has an encoded slash, which only some routes accept.
    pub has_encoded_slash: bool,
    /// The parameters of the query.
    pub query: Query,
}

impl RequestTarget {
    /// Reads the target from a request's head. The query may hold a token of `token_bytes`.
    ///
    /// # Errors
    /// 414 if it is too long, 400 if the host is missing, ambiguous or invalid, or the path has no canonical form.
    pub(crate) fn new(head: &Parts, query: Query, token_bytes: usize) -> Result<Self, Rejection> {
        if head.uri.path().len() > URI_BYTES {
            return Err(Rejection::PathTooLong { max: URI_BYTES });
        }
        let max = URI_BYTES + token_bytes;
        if head.uri.path_and_query().is_some_and(|whole| whole.as_str().len() > max) {
            return Err(Rejection::UriTooLong { max });
        }
        let authority = authority(head)?;
        let raw = head.uri.path();
        let (path, has_encoded_slash) = match CanonicalPath::parse(raw) {
            Err(PathFault::Delimiter('/')) => (CanonicalPath::parse_with_slashes(raw), true),
            path => (path, false),
        };
        Ok(Self { authority, path: path.map_err(Rejection::Path)?, has_encoded_slash, query })
    }

    /// Returns the host without its port.
    pub(crate) fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        }
    }

    /// Whether `origin` is the gateway's own origin, under the name of this request. On a listener without TLS a proxy in
    /// front may have terminated TLS, so both schemes count there.
    pub(crate) fn is_own_origin(&self, origin: &str, is_tls: bool) -> bool {
        match origin.split_once("://") {
            Some(("https", authority)) => authority.eq_ignore_ascii_case(&self.authority),
            Some(("http", authority)) => !is_tls && authority.eq_ignore_ascii_case(&self.authority),
            _ => false,
        }
    }
}

/// Returns the host and port of a request, from `:authority` or an absolute URI, else from `Host`.
fn authority(head: &Parts) -> Result<String, Rejection> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Rejection::malformed("Duplicate Host header."));
    }
    let host = match host {
        None => None,
        Some(host) => {
            let text = host.to_str().ok().filter(|text| is_authority(text));
            Some(text.ok_or(Rejection::malformed("Invalid Host header: not a host and optional port."))?)
        }
    };
    let named = head.uri.authority().map(Authority::as_str);
    match (named, host) {
        (Some(named), Some(host)) if head.version == Version::HTTP_2 && !named.eq_ignore_ascii_case(host) => {
            Err(Rejection::malformed("The Host header differs from :authority."))
        }
        (Some(named), _) if is_authority(named) => Ok(named.to_owned()),
        (Some(_), _) => Err(Rejection::malformed("Invalid authority: not a host and optional port.")),
        (None, Some(host)) => Ok(host.to_owned()),
        (None, None) if head.version <= Version::HTTP_10 => Ok(String::new()),
        (None, None) => Err(Rejection::malformed("Missing Host header.")),
    }
}

/// Whether the text is a host with an optional port, without user information (RFC 9110, 4.2.4; RFC 3986, 3.2.3).
fn is_authority(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let port = text.get(authority.host().len()..).unwrap_or_default();
    !text.contains('@') && port.bytes().skip(1).all(|byte| byte.is_ascii_digit())
}
