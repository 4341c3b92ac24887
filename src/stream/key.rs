//! The stream key. Two clients share a stream if and only if their keys are equal.
//!
//! The key is a structure, not a joined string, so two different streams can never have the same key. Every value in it
//! was authorized and validated before. This file does not know how a request becomes a key.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::identity::StreamIdentity;
use crate::runtime::excerpt;

/// The parts of a request that select a stream, and the identity that they make together with its source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// The name of the route.
    pub route: Arc<str>,
    /// The canonical path that was requested and authorized.
    pub path: String,
    /// Shared query parameters, headers and claims, in the route's order. The name of a header ends with a colon.
    pub shared: Vec<(String, String)>,
    /// The digest of all of the above and of the source of the events. Another source makes another stream.
    pub identity: StreamIdentity,
}

impl StreamKey {
    /// Returns the shared query parameters, without headers and claims.
    pub fn parameters(shared: &[(String, String)]) -> impl Iterator<Item = &(String, String)> {
        shared.iter().filter(|(name, _)| !is_header(name))
    }

    /// Returns the key as a log line shows it: as it is displayed, and shortened. A client chooses the path.
    pub fn excerpt(&self) -> String {
        excerpt::truncate(&self.to_string())
    }
}

/// Writes the key for the operator. Values of headers and claims are replaced by a hash, since they may be
/// credentials or personal data.
impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        for (index, (name, value)) in self.shared.iter().enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            if is_header(name) {
                let mut hasher = DefaultHasher::new();
                value.hash(&mut hasher);
                write!(f, "{separator}{name}#{:08x}", hasher.finish() as u32)?;
            } else {
                write!(f, "{separator}{name}={}", value.escape_default())?;
            }
        }
        Ok(())
    }
}

fn is_header(name: &str) -> bool {
    name.ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_headers_and_claims_are_not_shown() {
        let key = |tenant: &str| StreamKey {
            route: "all".into(),
            path: "/prices".into(),
            shared: vec![("depth".into(), "5".into()), ("x-tenant:".into(), tenant.into())],
            identity: StreamIdentity::default(),
        };

        let (acme, other) = (key("acme").to_string(), key("other").to_string());

        assert!(acme.starts_with("/prices?depth=5&x-tenant:#") && !acme.contains("acme"), "{acme}");
        assert_ne!(acme, other);
    }

    #[test]
    fn a_log_line_has_the_beginning_of_a_long_key() {
        let path = format!("/{}", "a".repeat(8000));
        let key = StreamKey {
            route: "all".into(),
            path: path.clone(),
            shared: Vec::new(),
            identity: StreamIdentity::default(),
        };

        let excerpt = key.excerpt();

        assert!(excerpt.len() < 300 && path.starts_with(excerpt.trim_end_matches('…')), "{excerpt}");
        assert_eq!(key.to_string(), path, "the operator sees all of it");
    }
}
