//! The identity of a route's streams: a digest of everything that decides which events a stream has.
//!
//! Two requests share a stream if and only if these are equal: the route's name, the canonical path, the shared values, the
//! upstream, the path and query that it is sent, and the ids. Whatever else a route has may change while its streams are
//! open. The values of secret headers are no part of it, so they can be renewed.

use super::resource::Resource;
use crate::runtime::field_encoder::FieldEncoder;
use crate::stream::{Ids, StreamIdentity};

/// Returns the identity of the stream with this route, canonical path and shared values. `upstream` identifies the producer,
/// `resource` is what it is sent.
pub(super) fn stream_identity(
    route: &str,
    path: &str,
    shared: &[(String, String)],
    upstream: &[u8; 32],
    resource: &Resource,
    ids: Ids,
) -> StreamIdentity {
    let mut encoder = FieldEncoder::new("rillgate stream 1");
    encoder.text(route).text(path).bytes(upstream).text(&resource.path).text(&resource.query);
    encoder.text(match ids {
        Ids::Keep => "keep",
        Ids::Fill => "fill",
        Ids::Replace => "replace",
    });
    // In the route's order, as in the stream's key: two streams with different keys must not have one identity.
    encoder.number(shared.len());
    for (name, value) in shared {
        encoder.text(name).text(value);
    }
    StreamIdentity(encoder.digest())
}

#[cfg(test)]
mod tests;
