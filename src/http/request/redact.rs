//! Text from a client in the form that the log may show: bounded, and without secrets.
//!
//! A query is never shown, since it may hold tokens and tickets. The log itself escapes text.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::USER_AGENT;

use crate::route::path::CanonicalPath;

/// The most bytes of a path in a line.
const PATH_BYTES: usize = 256;

/// The most bytes of a user agent in a line.
const USER_AGENT_BYTES: usize = 128;

/// Returns a request's path in its canonical form, or as it was sent if it has none.
pub(crate) fn path(path: &str) -> Cow<'_, str> {
    match CanonicalPath::parse(path) {
        Ok(canonical) => Cow::Owned(truncate(canonical.encoded(), PATH_BYTES).to_owned()),
        Err(_) => Cow::Borrowed(truncate(path, PATH_BYTES)),
    }
}

/// Returns the `User-Agent` of a request.
pub(crate) fn user_agent(headers: &HeaderMap) -> Option<Box<str>> {
    let text = String::from_utf8_lossy(headers.get(USER_AGENT)?.as_bytes());
    Some(truncate(&text, USER_AGENT_BYTES).into())
}

/// Returns the longest prefix of whole characters that is at most so many bytes long.
pub(crate) fn truncate(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn long_text_is_truncated_between_characters() {
        assert_eq!(path("/prices/%45URUSD"), "/prices/EURUSD");
        assert_eq!(path(&format!("/{}", "a".repeat(1000))).len(), PATH_BYTES);
        // A path that is never served still appears in the log.
        assert_eq!(path("/a/../b"), "/a/../b");
        let umlauts = format!("/{}", "ä".repeat(1000));
        assert_eq!(truncate(&umlauts, 2), "/");
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        let mut headers = HeaderMap::new();
        assert_eq!(user_agent(&headers), None);

        headers.insert(USER_AGENT, HeaderValue::from_bytes(b"caf\xe9/1.0").expect("obs-text"));
        assert_eq!(user_agent(&headers).as_deref(), Some("caf\u{fffd}/1.0"));

        headers.insert(USER_AGENT, HeaderValue::try_from("x".repeat(10_000)).expect("visible"));
        assert_eq!(user_agent(&headers).map(|agent| agent.len()), Some(USER_AGENT_BYTES));
    }
}
