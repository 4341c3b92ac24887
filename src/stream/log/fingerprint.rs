//! Numbers that tell events apart, so that an event can be known again without being kept.
//!
//! Equal for equal id, type and data, also in another process and another version: what is kept with a log must mean the
//! same to whoever goes on with it. Seeded at random for each stream, so that nobody outside can make two events look
//! like one. Does not know where an event comes from: the stream's own connection, or an extra request for its history.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::sse::{Event, EventId};

/// What fingerprints are keyed with. Kept with the log, whose fingerprints mean nothing without it.
pub type Seed = [u64; 2];

/// Makes the fingerprints of one stream. Copies make the same ones.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprints(Seed);

impl Fingerprints {
    /// Of a new stream.
    pub fn random() -> Self {
        Self([(); 2].map(|()| getrandom::u64().expect("the system has random numbers")))
    }

    /// Of a stream that was kept.
    pub fn with_seed(seed: Seed) -> Self {
        Self(seed)
    }

    /// What they are keyed with.
    pub fn seed(self) -> Seed {
        self.0
    }

    /// An event as the upstream sent it, minted ids not included. No id and an empty one differ.
    pub fn event(self, event: &Event) -> u64 {
        let has_id = if event.id.is_some() { "1" } else { "" };
        let id = event.id.as_ref().map_or("", EventId::as_str);
        self.hash_parts(&[has_id, id, &event.kind, &event.data])
    }

    /// An event's type alone.
    pub fn event_type(self, kind: &str) -> u64 {
        self.hash_parts(&[kind])
    }

    /// Byte by byte and not by `Hash`, whose way of feeding the hasher is not promised to stay.
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
    fn fingerprints_stay_what_they_are_from_version_to_version() {
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
