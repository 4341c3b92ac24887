//! The path and query of a request, which follow the origin's own.
//!
//! Both are percent-encoded as in a URL. Each query parameter has one source only; the configuration checks that.

use std::borrow::Cow;

use super::settings::Origin;

/// An absolute path and a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// The path. It starts with a slash.
    pub path: String,
    /// The query without its question mark. Empty if there is none.
    pub query: String,
}

impl Resource {
    /// Creates a resource.
    pub fn new(path: impl Into<String>, query: impl Into<String>) -> Self {
        Self { path: path.into(), query: query.into() }
    }

    /// Appends query parameters.
    pub fn add_query(&mut self, parameters: &str) {
        if !self.query.is_empty() && !parameters.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(parameters);
    }

    /// Returns the request target: the path after the origin's base path, the query after the origin's own.
    pub fn request_target(&self, origin: &Origin) -> String {
        let parts = [origin.query.as_str(), self.query.as_str()];
        let query = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&");
        let separator = if query.is_empty() { "" } else { "?" };
        format!("{}{}{separator}{query}", origin.base, self.path)
    }
}

/// Returns the decoded names of a query's parameters, repetitions included.
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

        for (base, own, path, query, settings) in [
            ("", "", "/", "", "/"),
            ("/base", "", "/", "", "/base/"),
            ("/base", "stream=public", "/feed", "mode=full", "/base/feed?stream=public&mode=full"),
            ("", "stream=public", "/feed", "", "/feed?stream=public"),
            ("", "", "/feed/", "mode=full", "/feed/?mode=full"),
        ] {
            assert_eq!(Resource::new(path, query).request_target(&origin(base, own)), settings);
        }
    }

    #[test]
    fn parameters_are_appended_in_order() {
        let mut resource = Resource::new("/feed", "");

        for parameters in ["", "a=1", "", "b=2"] {
            resource.add_query(parameters);
        }

        assert_eq!(resource.query, "a=1&b=2");
    }
}
