//! The settings of streams that are opened by `POST`: `[routes.post]`.

use std::time::Duration;

use http::HeaderName;

/// The settings of streams that a route opens by `POST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostSettings {
    /// The part of a request that makes two of them one stream.
    pub key: PostKeySource,
    /// Whether clients with other subjects share a stream too.
    pub across_subjects: bool,
    /// The most bytes of a body.
    pub body_bytes: usize,
    /// The time within which a body must have arrived.
    pub body_timeout: Duration,
    /// The header fields that go upstream besides `content-type`, `content-encoding` and `accept`. Part of the key.
    pub forward_headers: Vec<HeaderName>,
    /// Whether the producer is idempotent, so that a request may be sent again after it broke.
    pub retry: bool,
}

/// The part of a `POST` that makes two of them one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostKeySource {
    /// The body.
    Body,
    /// The value of this header field.
    Header(HeaderName),
    /// None: each `POST` is a stream of its own.
    Each,
}

impl PostSettings {
    /// Returns the header fields that a page may have to send, for preflights.
    pub fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        let key = match &self.key {
            PostKeySource::Header(name) => Some(name),
            PostKeySource::Body | PostKeySource::Each => None,
        };
        self.forward_headers.iter().chain(key)
    }
}
