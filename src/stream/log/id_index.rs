//! The index of ids in a log: its keys and values.

use crate::sse::EventId;

/// The offsets of the entries with one id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occurrences {
    pub oldest: u64,
    pub newest: u64,
    /// True if an earlier run of the same id has been evicted.
    pub is_repeated: bool,
}

/// Removes the spaces and tabs around an id.
pub(super) fn trim_id(id: &str) -> &str {
    id.trim_matches([' ', '\t'])
}

/// Returns the trimmed id. Nearly all ids are trimmed already and are cloned without an allocation.
pub(super) fn index_key(id: &EventId) -> EventId {
    match trim_id(id.as_str()) {
        name if name.len() == id.as_str().len() => id.clone(),
        name => EventId::new(name).expect("a part of an id is an id"),
    }
}
