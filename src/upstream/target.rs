//! An origin and how to reach it: one `[upstreams.NAME]` table, believed.

use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue};

use super::resume::Resume;
use crate::runtime::backoff::Backoff;

/// One configured upstream.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// The table's name.
    pub name: String,
    /// Origins, tried in order on each connect. Never empty.
    pub origins: Vec<Origin>,
    /// Sent with every request; values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Those of them whose value is a secret: it may change without making the upstream another one.
    pub secrets: Vec<HeaderName>,
    /// Where the last completed id goes.
    pub resume: Resume,
    /// TCP and TLS must be established within this, which several addresses share. A name may take as long again. Default
    /// 3 s.
    pub connect_timeout: Duration,
    /// Response headers must have come within this, counted from the start of the attempt. Default 60 s: a model
    /// may think for long before it begins.
    pub open_timeout: Duration,
    /// No bytes, comments included, for this long: reconnect. `None`: off, the default.
    pub idle_timeout: Option<Duration>,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// Most bytes in one event, and in one line. Default 1 MiB.
    pub max_event: usize,
    /// How to speak TLS with `https` origins. Present if there is one.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl UpstreamSettings {
    /// What of the headers makes the upstream another one: the names, and those values that are no secrets.
    pub fn identifying_headers(&self) -> impl Iterator<Item = (&HeaderName, Option<&HeaderValue>)> {
        self.headers.iter().map(|(name, value)| (name, Some(value).filter(|_| !self.secrets.contains(name))))
    }

    /// Whether the secret headers have the values that they have there.
    pub fn has_same_secrets(&self, other: &Self) -> bool {
        let secrets = |target: &Self| {
            let is_secret = |(name, _): &&(HeaderName, HeaderValue)| target.secrets.contains(name);
            target.headers.iter().filter(is_secret).cloned().collect::<Vec<_>>()
        };
        secrets(self) == secrets(other)
    }

    /// The value of a configured header.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(configured, _)| configured == name)?;
        value.to_str().ok()
    }
}

/// Scheme, host and port of an upstream, and the path in front of every `upstream_path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and, where it is not the scheme's own, port. Without user information.
    pub authority: Authority,
    /// Prefix of every path, without the slash at its end: usually empty.
    pub base: String,
    /// In front of every query, without its question mark: usually empty.
    pub query: String,
}

impl Origin {
    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    /// Whether the connection is over TLS.
    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Host and port, for people.
    pub fn address(&self) -> String {
        format!("{}:{}", self.authority.host(), self.port())
    }

    /// The host as one connects to it: an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }
}
