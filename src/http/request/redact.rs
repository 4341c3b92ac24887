//! What a client said, as a line of the log may show it: bounded, and without what is secret.
//!
//! Never a query: tokens and tickets stand there. Escaping is the log's own.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::USER_AGENT;

use crate::route::path::CanonicalPath;

/// Longest path in a line, in bytes.
const PATH_BYTES: usize = 256;

/// Longest name of a program in a line, in bytes.
const USER_AGENT_BYTES: usize = 128;

/// Returns a request's path in its one form, or as it was sent where it has none.
pub fn path(path: &str) -> Cow<'_, str> {
    match CanonicalPath::parse(path) {
        Ok(canonical) => Cow::Owned(shortened(canonical.encoded(), PATH_BYTES).to_owned()),
        Err(_) => Cow::Borrowed(shortened(path, PATH_BYTES)),
    }
}

/// The program that says it asks.
pub fn user_agent(headers: &HeaderMap) -> Option<Box<str>> {
    let said = String::from_utf8_lossy(headers.get(USER_AGENT)?.as_bytes());
    Some(shortened(&said, USER_AGENT_BYTES).into())
}

/// As many whole characters as fit.
pub fn shortened(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(path("/prices/%45URUSD"), "/prices/EURUSD");
        assert_eq!(path(&format!("/{}", "a".repeat(1000))).len(), PATH_BYTES);
        // No path that is served, and still worth a line.
        assert_eq!(path("/a/../b"), "/a/../b");
        let umlauts = format!("/{}", "ä".repeat(1000));
        assert_eq!(shortened(&umlauts, 2), "/");
    }

    #[test]
    fn what_is_no_text_is_shown_as_far_as_it_can_be() {
        let mut headers = HeaderMap::new();
        assert_eq!(user_agent(&headers), None);

        headers.insert(USER_AGENT, HeaderValue::from_bytes(b"caf\xe9/1.0").expect("obs-text"));
        assert_eq!(user_agent(&headers).as_deref(), Some("caf\u{fffd}/1.0"));

        headers.insert(USER_AGENT, HeaderValue::try_from("x".repeat(10_000)).expect("visible"));
        assert_eq!(user_agent(&headers).map(|agent| agent.len()), Some(USER_AGENT_BYTES));
    }
}
