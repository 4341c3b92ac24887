//! The request target of an upstream request: a stream's path and query after those of the origin's URL.

use std::borrow::Cow;

use super::settings::Origin;

/// Returns the request target: `path` after the origin's base path, and `query` after the origin's own.
pub(super) fn request_target(origin: &Origin, path: &str, query: &str) -> String {
    let parts = [origin.query.as_str(), query];
    let query = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&");
    let separator = if query.is_empty() { "" } else { "?" };
    format!("{}{path}{separator}{query}", origin.base)
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

        for (base, own, path, query, target) in [
            ("", "", "/", "", "/"),
            ("/base", "", "/", "", "/base/"),
            ("/base", "stream=public", "/feed", "mode=full", "/base/feed?stream=public&mode=full"),
            ("", "stream=public", "/feed", "", "/feed?stream=public"),
            ("", "", "/feed/", "mode=full", "/feed/?mode=full"),
        ] {
            assert_eq!(request_target(&origin(base, own), path, query), target);
        }
    }
}
