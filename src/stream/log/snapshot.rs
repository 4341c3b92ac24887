//! The stored past of a log, from which a new log goes on.

use super::entry::Entry;
use crate::sse::EventId;

/// The past of a stream as it was kept beyond the process: the newest entries of an earlier log.
#[derive(Clone, Debug, Default)]
pub struct LogSnapshot {
    /// The entries, oldest first, without a hole.
    pub entries: Vec<Entry>,
    /// Events that came before them, in the stream's whole life.
    pub events_before: u64,
    /// The id in force before them, for clients.
    pub id_before: EventId,
    /// The id in force before them, for the upstream.
    pub source_id_before: EventId,
    /// Whether a client that has `id_before` lacks these entries and nothing else: that id was brought once, and last.
    pub is_exact: bool,
}
