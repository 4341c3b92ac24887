//! The request that a stream makes of its upstream.

use bytes::Bytes;

/// The request of a stream, the same at each attempt. Holds nothing of a client except what all clients of the
/// stream share, and the trace of the one that opened it.
///
/// An upstream whose protocol has no use for a part leaves it out.
#[derive(Clone, Default)]
pub struct SourceRequest {
    /// The method.
    pub method: SourceMethod,
    /// The path, percent-encoded. It starts with a slash.
    pub path: String,
    /// The query, percent-encoded, without its question mark. Empty if there is none.
    pub query: String,
    /// The header fields with values that the stream's clients share. They replace configured ones of the same name.
    pub headers: Vec<SourceHeader>,
    /// The body. Empty if there is none.
    pub body: Bytes,
    /// True if a `POST` may be sent again after a part of it was sent. A `GET` always may.
    pub is_idempotent: bool,
    /// The header fields with the trace context of the request that opened the stream. Configured ones of the same name
    /// replace them.
    pub trace: Vec<SourceHeader>,
}

impl SourceRequest {
    /// Returns true if the request may be sent again after a part of it was sent.
    pub fn may_repeat(&self) -> bool {
        self.method == SourceMethod::Get || self.is_idempotent
    }
}

/// The method of a request to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceMethod {
    /// Reads a stream.
    #[default]
    Get,
    /// Sends a body and reads the stream that answers it.
    Post,
}

/// A header field of a request to an upstream. The source checks it as its protocol demands.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceHeader {
    /// The name, in lower case.
    pub name: String,
    /// The value.
    pub value: Vec<u8>,
}
