//! What is asked of an upstream: a path and a query, to be put behind an origin's own.
//!
//! Both are written as a URL has them. A name of the query comes from one place only: the configuration is held to it.

use std::borrow::Cow;

use super::target::Origin;

/// A path from the root and a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// Starts with a slash.
    pub path: String,
    /// Without its question mark; empty: none.
    pub query: String,
}

impl Resource {
    /// This path and query.
    pub fn new(path: impl Into<String>, query: impl Into<String>) -> Self {
        Self { path: path.into(), query: query.into() }
    }

    /// Puts more parameters behind those that are there.
    pub fn add_query(&mut self, more: &str) {
        if !self.query.is_empty() && !more.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(more);
    }

    /// The target of a request for it: its path behind the origin's base, its query behind the origin's own.
    pub fn at(&self, origin: &Origin) -> String {
        let parts = [origin.query.as_str(), self.query.as_str()];
        let query = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&");
        let separator = if query.is_empty() { "" } else { "?" };
        format!("{}{}{separator}{query}", origin.base, self.path)
    }
}

/// The names of a query's parameters, decoded, as often as they stand there.
pub fn query_names(query: &str) -> impl Iterator<Item = Cow<'_, str>> {
    url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use http::uri::{Authority, Scheme};

    use super::*;

    #[test]
    fn paths_are_joined_to_paths_and_queries_to_queries() {
        let origin = |base: &str, query: &str| Origin {
            scheme: Scheme::HTTP,
            authority: Authority::from_static("origin"),
            base: base.to_owned(),
            query: query.to_owned(),
        };

        for (base, own, path, query, target) in [
            ("", "", "/", "", "/"),
            ("/base", "", "/", "", "/base/"),
            ("/base", "stream=public", "/feed", "mode=full", "/base/feed?stream=public&mode=full"),
            ("", "stream=public", "/feed", "", "/feed?stream=public"),
            ("", "", "/feed/", "mode=full", "/feed/?mode=full"),
        ] {
            assert_eq!(Resource::new(path, query).at(&origin(base, own)), target);
        }
    }

    #[test]
    fn parameters_are_added_behind_one_another() {
        let mut resource = Resource::new("/feed", "");

        for more in ["", "a=1", "", "b=2"] {
            resource.add_query(more);
        }

        assert_eq!(resource.query, "a=1&b=2");
    }
}
