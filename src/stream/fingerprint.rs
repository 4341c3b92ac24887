//! Numbers that tell events apart, so that an event can be known again without being kept.
//!
//! Equal for equal id, type and data. Seeded at random for each stream, so that nobody outside can make two events look
//! like one. Does not know where an event comes from: the stream's own connection, or an extra request for its history.

use std::hash::{BuildHasher, RandomState};

use crate::sse::Event;

/// Makes the fingerprints of one stream. Clones make the same ones.
#[derive(Clone, Debug, Default)]
pub struct Fingerprints(RandomState);

impl Fingerprints {
    /// An event as the upstream sent it, minted ids not included.
    pub fn event(&self, event: &Event) -> u64 {
        self.0.hash_one((&event.id, &event.kind, &event.data))
    }

    /// An event's type alone.
    pub fn topic(&self, kind: &str) -> u64 {
        self.0.hash_one(kind)
    }
}
