//! HTTP/1.1 only: a browser has at most six connections to a host, and each stream takes one.

use http::Version;

use super::StreamCheck;
use crate::doctor::finding::{FindingKind, StreamFinding};
use crate::doctor::observations::Observations;

/// Looks at the version that was agreed on.
pub(super) struct Http1Only;

impl StreamCheck for Http1Only {
    fn check(&self, seen: &Observations) -> Option<StreamFinding> {
        if seen.browser.version == Version::HTTP_2 {
            return None;
        }
        let found = match seen.has_tls {
            true => "the server does not offer HTTP/2 (ALPN): a browser opens at most six streams of this host",
            false => "without TLS browsers speak HTTP/1.1 only, and open at most six streams of this host",
        };
        Some(StreamFinding { kind: FindingKind::Http1Only, found: found.to_owned(), remedy: REMEDY })
    }
}

const REMEDY: &str =
    "serve https, and offer h2 to clients in whatever ends TLS (HAProxy: alpn h2,http/1.1; nginx: http2)";
