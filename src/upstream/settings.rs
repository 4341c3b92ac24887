//! The settings of an upstream: one validated `[upstreams.NAME]` table.

use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue};

use super::http2_pool::Http2Pool;
use super::resume::Resume;
use super::service_token::ServiceToken;
use crate::runtime::backoff::Backoff;

/// One configured upstream.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// The table's name.
    pub name: String,
    /// The origins, tried in order by each attempt. Never empty.
    pub origins: Vec<Origin>,
    /// Headers of every request. Their values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The headers among them whose values are secrets. A new value does not change the upstream's identity.
    pub secrets: Vec<HeaderName>,
    /// The bearer token of every request, if there is one. No part of the upstream's identity or credentials.
    pub token: Option<Arc<ServiceToken>>,
    /// The place of the last event id in a request.
    pub resume: Resume,
    /// Whether a reconnect asks for the last event with an id again, as a proof that nothing is missing. Default: false.
    pub is_overlapping: bool,
    /// Timeout for TCP and TLS, shared by all addresses of a name. Resolving the name may take as long again. Default:
    /// 3 s.
    pub connect_timeout: Duration,
    /// Timeout for the response head, from the start of the attempt. Default: 60 s, because a model may think for long
    /// before it answers.
    pub open_timeout: Duration,
    /// Longest time without bytes, comments included, before the stream reconnects. Default: `None`, no limit.
    pub idle_timeout: Option<Duration>,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// Most bytes in one event, and in one line. Default: 1 MiB.
    pub max_event: usize,
    /// The HTTP/2 connections that its streams share. Default: `None`, HTTP/1.1 with a connection for each stream.
    pub http2: Option<Arc<Http2Pool>>,
    /// The TLS client configuration. Present if an origin is `https`.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl UpstreamSettings {
    /// Returns the value of a configured header.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(configured, _)| configured == name)?;
        value.to_str().ok()
    }
}

/// Scheme, host and port of an upstream, and the prefix of every path and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host, and port unless it is the scheme's default. Without user information.
    pub authority: Authority,
    /// Prefix of every path, without a trailing slash. Usually empty.
    pub base: String,
    /// Prefix of every query, without the question mark. Usually empty.
    pub query: String,
}

impl Origin {
    /// Returns the port to connect to.
    pub fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    /// Returns true if the connection uses TLS.
    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Returns host and port, for messages.
    pub fn address(&self) -> String {
        format!("{}:{}", self.authority.host(), self.port())
    }

    /// Returns the host to connect to: an IPv6 address has no brackets.
    pub fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }
}
