//! The HTTP upstream as streams know it: its timing, its identity, and the maker of its sources.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use http::HeaderValue;

use super::event_source::HttpEventSource;
use super::request_target::request_target;
use super::settings::UpstreamSettings;
use crate::runtime::connect_budget::ConnectBudget;
use crate::sse::EventId;
use crate::stream::{EventSource, SourceRequest, Upstream, UpstreamTiming};

impl Upstream for UpstreamSettings {
    fn name(&self) -> &str {
        &self.name
    }

    fn timing(&self) -> UpstreamTiming {
        UpstreamTiming { open_timeout: self.open_timeout, backoff: self.backoff }
    }

    /// Covers the URLs, in their order, and the headers. A secret header counts by its name alone.
    fn identity(&self) -> [u8; 32] {
        let mut digest = PartsDigest::default();
        digest.add(&(self.origins.len() as u64).to_le_bytes());
        for origin in &self.origins {
            // Base and query as one request target. A base cannot contain "?", so this is unambiguous.
            let base = request_target(origin, "", "");
            for part in [origin.scheme.as_str(), origin.authority.as_str(), &base] {
                digest.add(part.as_bytes());
            }
        }
        for (name, value) in self.identifying_headers() {
            digest.add(name.as_str().as_bytes());
            // The value of a header is never empty.
            digest.add(value.map(HeaderValue::as_bytes).unwrap_or_default());
        }
        digest.finish()
    }

    fn credentials(&self) -> [u8; 32] {
        let mut digest = PartsDigest::default();
        for (name, value) in self.headers.iter().filter(|(name, _)| self.secrets.contains(name)) {
            digest.add(name.as_str().as_bytes());
            digest.add(value.as_bytes());
        }
        digest.finish()
    }

    fn can_resume_after(&self, id: &EventId) -> bool {
        self.resume.can_carry(id)
    }

    fn source(self: Arc<Self>, request: &Arc<SourceRequest>, budget: &ConnectBudget) -> Arc<dyn EventSource> {
        Arc::new(HttpEventSource::new(self, request.clone(), budget.clone()))
    }
}

/// The SHA-256 digest of a list of parts, each preceded by its length.
struct PartsDigest(Context);

impl Default for PartsDigest {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl PartsDigest {
    fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderName;
    use http::uri::{Authority, Scheme};

    use super::*;
    use crate::runtime::backoff::Backoff;
    use crate::upstream::{Origin, Resume};

    /// An upstream with a plain header `x-mode` and a secret header `x-key`.
    fn upstream(authority: &'static str, mode: &'static str, key: &'static str) -> UpstreamSettings {
        let (plain, secret) = (HeaderName::from_static("x-mode"), HeaderName::from_static("x-key"));
        let backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(1) };
        UpstreamSettings {
            name: "feed".to_owned(),
            origins: vec![Origin {
                scheme: Scheme::HTTP,
                authority: Authority::from_static(authority),
                base: String::new(),
                query: String::new(),
            }],
            headers: vec![(plain, HeaderValue::from_static(mode)), (secret.clone(), HeaderValue::from_static(key))],
            secrets: vec![secret],
            resume: Resume::default(),
            connect_timeout: Duration::from_secs(1),
            open_timeout: Duration::from_secs(1),
            idle_timeout: None,
            backoff,
            max_event: 1024,
            tls: None,
        }
    }

    #[test]
    fn a_secrets_value_changes_the_credentials_and_nothing_else_does() {
        let known = upstream("origin", "full", "old");

        assert_ne!(upstream("origin", "full", "new").credentials(), known.credentials());
        assert_eq!(upstream("elsewhere", "short", "old").credentials(), known.credentials());
    }

    #[test]
    fn addresses_and_plain_headers_are_the_identity_and_secrets_count_by_name() {
        let known = upstream("origin", "full", "old");
        let renamed = UpstreamSettings { secrets: Vec::new(), ..upstream("origin", "full", "old") };

        assert_eq!(upstream("origin", "full", "new").identity(), known.identity());
        for other in [upstream("elsewhere", "full", "old"), upstream("origin", "short", "old"), renamed] {
            assert_ne!(other.identity(), known.identity(), "{other:?}");
        }
    }
}
