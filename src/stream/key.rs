//! The stream key: two clients share bytes if and only if their keys are equal.
//!
//! It is a structure and never a joined string, so that no two different streams can meet in one key. Every value in it
//! has been authorised and validated before. Does not know how it is made from a request.

use std::fmt;
use std::sync::Arc;

/// What tells streams apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// The route's name.
    pub route: Arc<str>,
    /// The canonical path that was asked for and authorised.
    pub path: String,
    /// Shared query parameters, headers and claims, in the route's order.
    pub shared: Vec<(String, String)>,
    /// Fingerprint of where the events come from, so that a changed upstream is another stream.
    pub origin: u64,
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        for (index, (name, value)) in self.shared.iter().enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            write!(f, "{separator}{name}={}", value.escape_default())?;
        }
        Ok(())
    }
}
