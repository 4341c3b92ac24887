//! A stored log, from which a new log is restored.

use super::entry::Entry;
use crate::sse::EventId;

/// The newest entries of a stored log.
#[derive(Clone, Debug, Default)]
pub struct LogSnapshot {
    /// The entries, oldest first and contiguous.
    pub entries: Vec<Entry>,
    /// The number of events before them, from the beginning of the stream.
    pub events_before: u64,
    /// The id in force before them, for clients.
    pub id_before: EventId,
    /// The upstream's own id in force before them.
    pub source_id_before: EventId,
    /// True if a client with `id_before` lacks exactly these entries: the entry before them introduced that id, and no
    /// earlier entry did.
    pub is_exact: bool,
}
