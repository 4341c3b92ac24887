//! The stream key: two clients share bytes if and only if their keys are equal.
//!
//! It is a structure and never a joined string, so that no two different streams can meet in one key. Every value in it
//! has been authorised and validated before. Does not know how it is made from a request.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What tells streams apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// The route's name.
    pub route: Arc<str>,
    /// The canonical path that was asked for and authorised.
    pub path: String,
    /// Shared query parameters, headers and claims, in the route's order. A name that ends with a colon is a header's.
    pub shared: Vec<(String, String)>,
    /// Fingerprint of where the events come from, so that a changed upstream is another stream.
    pub origin: u64,
}

/// For logs and for the operator: what a header or a claim said is told apart and not told, since it may be a credential
/// or a person.
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
    fn what_a_header_or_a_claim_said_is_not_shown() {
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
}
