//! The interface between requests that open streams, such as a `POST`, and the store of their logs.
//!
//! Such a stream has a name that no later process can guess. The store keeps digests of the request beside the log, so an
//! equal request finds the stream again. They tell nothing of the request to whoever does not have it. This file does not
//! know how they are made.

use futures_util::future::BoxFuture;

use super::identity::StreamIdentity;

/// The request that opened a stream, as the store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpeningRequest {
    /// The digest by which equal requests find the stream.
    pub key: [u8; 32],
    /// The random part of the stream's name. The other part is not stored.
    pub salt: [u8; 16],
    /// The digest of its body, made with the random part.
    pub body: [u8; 32],
}

/// The stored stream that an equal request opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRequest {
    /// The request.
    pub request: OpeningRequest,
    /// The identity of its stream.
    pub identity: StreamIdentity,
    /// True if the upstream has ended the stream.
    pub is_complete: bool,
}

/// Finds stored streams by the requests that opened them.
pub trait StoredRequests: Send + Sync {
    /// Returns the newest stored stream that a request with this key opened, unless its retention has passed. Ends within
    /// a few seconds; `None` if the store cannot tell.
    fn find(&self, key: [u8; 32]) -> BoxFuture<'_, Option<StoredRequest>>;
}
