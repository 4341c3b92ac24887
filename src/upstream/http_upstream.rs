//! The HTTP upstream as streams know it: its timing, its identity, and the maker of its sources.

use std::sync::Arc;

use super::event_source::HttpEventSource;
use super::settings::UpstreamSettings;
use crate::runtime::connect_budget::ConnectBudget;
use crate::runtime::field_encoder::FieldEncoder;
use crate::sse::EventId;
use crate::stream::{EventSource, SourceRequest, Upstream, UpstreamTiming};

impl Upstream for UpstreamSettings {
    fn name(&self) -> &str {
        &self.name
    }

    fn timing(&self) -> UpstreamTiming {
        UpstreamTiming { open_timeout: self.open_timeout, backoff: self.backoff }
    }

    /// Covers the first URL, the names of all headers, and the values of those that are not secret. Further URLs are
    /// replicas of the first, so they may come and go.
    fn identity(&self) -> [u8; 32] {
        let first = self.origins.first().expect("an upstream has an origin");
        let mut encoder = FieldEncoder::new("rillgate upstream 1");
        encoder.text(first.scheme.as_str()).text(first.authority.as_str()).text(&first.base).text(&first.query);
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        encoder.number(headers.len());
        for (name, value) in headers {
            let is_secret = self.secrets.contains(name);
            encoder.text(name.as_str()).number(usize::from(is_secret));
            encoder.bytes(if is_secret { &[] } else { value.as_bytes() });
        }
        encoder.digest()
    }

    fn credentials(&self) -> [u8; 32] {
        let mut encoder = FieldEncoder::new("rillgate credentials 1");
        for (name, value) in self.headers.iter().filter(|(name, _)| self.secrets.contains(name)) {
            encoder.text(name.as_str()).bytes(value.as_bytes());
        }
        encoder.digest()
    }

    fn can_resume_after(&self, id: &EventId) -> bool {
        self.resume.can_carry(id)
    }

    fn source(self: Arc<Self>, request: &Arc<SourceRequest>, budget: &ConnectBudget) -> Arc<dyn EventSource> {
        Arc::new(HttpEventSource::new(self, request.clone(), budget.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::uri::{Authority, Scheme};
    use http::{HeaderName, HeaderValue};

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
            token: None,
            resume: Resume::default(),
            is_overlapping: false,
            connect_timeout: Duration::from_secs(1),
            open_timeout: Duration::from_secs(1),
            idle_timeout: None,
            backoff,
            max_event: 1024,
            http2: None,
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
