//! Fingerprints of events. They recognize an event that is no longer retained.
//!
//! Equal id, type and data give an equal fingerprint, in every process and every version, because fingerprints are
//! stored with the log. The seed of each stream is random, so nobody outside can construct two events with the same
//! fingerprint. The stream's own connection and requests for its history give the same fingerprints.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::sse::{Event, EventId};

/// The key of a stream's fingerprints. Stored with the log, since stored fingerprints mean nothing without it.
pub type Seed = [u64; 2];

/// Computes the fingerprints of one stream. Copies give the same fingerprints.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprints(Seed);

impl Fingerprints {
    /// Creates the fingerprints of a new stream, with a random seed.
    pub fn random() -> Self {
        Self([(); 2].map(|()| getrandom::u64().expect("the system provides random numbers")))
    }

    /// Creates the fingerprints of a stored stream.
    pub fn with_seed(seed: Seed) -> Self {
        Self(seed)
    }

    /// Returns the seed.
    pub fn seed(self) -> Seed {
        self.0
    }

    /// Returns the fingerprint of an event as the upstream sent it, without a minted id. No id and an empty id differ.
    pub fn event(self, event: &Event) -> u64 {
        let has_id = if event.id.is_some() { "1" } else { "" };
        let id = event.id.as_ref().map_or("", EventId::as_str);
        self.hash_parts(&[has_id, id, &event.kind, &event.data])
    }

    /// Returns the fingerprint of an event type.
    pub fn event_type(self, kind: &str) -> u64 {
        self.hash_parts(&[kind])
    }

    /// Hashes the bytes and not through `Hash`, whose output may change between versions of Rust.
    fn hash_parts(self, parts: &[&str]) -> u64 {
        let Self([first, second]) = self;
        let mut hasher = SipHasher13::new_with_keys(first, second);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part.as_bytes());
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_stable_across_versions() {
        let fingerprints = Fingerprints::with_seed([1, 2]);
        let event = |id: Option<&str>| Event {
            kind: "price".into(),
            data: "1\n2".into(),
            id: id.map(|id| EventId::new(id).unwrap()),
        };

        let made = [
            fingerprints.event(&event(Some("7"))),
            fingerprints.event(&event(Some(""))),
            fingerprints.event(&event(None)),
            fingerprints.event_type("price"),
        ];

        let known: [u64; 4] = [16717390371570122140, 17462394949504849486, 16830811302732369011, 12182303995885700424];
        assert_eq!(made, known);
    }
}
