//! The stream key. Two clients share a stream if and only if their keys are equal.
//!
//! The key is a structure, not a joined string, so two different streams can never have the same key. Every value in it
//! was authorized and validated before. This file does not know how a request becomes a key.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::runtime::excerpt;

/// The identity of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// The name of the route.
    pub route: Arc<str>,
    /// The canonical path that was requested and authorized.
    pub path: String,
    /// Shared query parameters, headers and claims, in the route's order. The name of a header ends with a colon.
    pub shared: Vec<(String, String)>,
    /// A hash of the upstream's settings. A changed upstream makes another stream.
    pub origin: u64,
}

impl StreamKey {
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
            if name.ends_with(':') {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_headers_and_claims_are_not_shown() {
        let key = |tenant: &str| StreamKey {
            route: "all".into(),
            path: "/prices".into(),
            shared: vec![("depth".into(), "5".into()), ("x-tenant:".into(), tenant.into())],
            origin: 0,
        };

        let (acme, other) = (key("acme").to_string(), key("other").to_string());

        assert!(acme.starts_with("/prices?depth=5&x-tenant:#") && !acme.contains("acme"), "{acme}");
        assert_ne!(acme, other);
    }

    #[test]
    fn a_log_line_has_the_beginning_of_a_long_key() {
        let path = format!("/{}", "a".repeat(8000));
        let key = StreamKey { route: "all".into(), path: path.clone(), shared: Vec::new(), origin: 0 };

        let excerpt = key.excerpt();

        assert!(excerpt.len() < 300 && path.starts_with(excerpt.trim_end_matches('…')), "{excerpt}");
        assert_eq!(key.to_string(), path, "the operator sees all of it");
    }
}
