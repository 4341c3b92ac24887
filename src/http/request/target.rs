//! What a request is about: host, canonical path, and the query parameters that mean something here.
//!
//! HTTP/1 and HTTP/2 say the host in different places; a request that says it twice and differently is refused
//! (RFC 9112, 3.2; RFC 9113, 8.3.1).

use http::header::HOST;
use http::request::Parts;
use http::{Version, uri::Authority};

use super::query::Query;
use crate::http::response::rejection::Rejection;
use crate::route::path::CanonicalPath;

/// Most bytes of a path, and of path and query together besides a token.
const URI_BYTES: usize = 8 * 1024;

/// What a request is about.
#[derive(Debug)]
pub struct RequestTarget {
    /// Host and port as the client wrote them; empty for an HTTP/1.0 request that names none.
    pub authority: String,
    /// The path in its one form.
    pub path: CanonicalPath,
    /// The parameters of the query.
    pub query: Query,
}

impl RequestTarget {
    /// Reads it from a request's head. The query may hold a token of `token_bytes`.
    ///
    /// # Errors
    /// 400 or 414.
    pub fn of(head: &Parts, token_bytes: usize) -> Result<Self, Rejection> {
        if head.uri.path().len() > URI_BYTES {
            return Err(Rejection::PathTooLong { max: URI_BYTES });
        }
        let max = URI_BYTES + token_bytes;
        if head.uri.path_and_query().is_some_and(|whole| whole.as_str().len() > max) {
            return Err(Rejection::UriTooLong { max });
        }
        let authority = authority(head)?;
        let path = CanonicalPath::parse(head.uri.path()).map_err(Rejection::Path)?;
        let query = Query::parse(head.uri.query().unwrap_or_default());
        Ok(Self { authority, path, query })
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        }
    }

    /// Whether `origin` is the gateway's own, as this request reached it. On a listener without TLS something in front
    /// may have taken the TLS away, so both schemes are ours there.
    pub fn is_own_origin(&self, origin: &str, is_tls: bool) -> bool {
        match origin.split_once("://") {
            Some(("https", authority)) => authority.eq_ignore_ascii_case(&self.authority),
            Some(("http", authority)) => !is_tls && authority.eq_ignore_ascii_case(&self.authority),
            _ => false,
        }
    }
}

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

/// A host and perhaps a port, without user information (RFC 9110, 4.2.4; RFC 3986, 3.2.3).
fn is_authority(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let port = text.get(authority.host().len()..).unwrap_or_default();
    !text.contains('@') && port.bytes().skip(1).all(|byte| byte.is_ascii_digit())
}
