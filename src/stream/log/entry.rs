//! An entry of the event log, encoded once for all clients.
//!
//! An entry never changes and does not know its offset.

use std::time::Instant;

use super::verdict::Gap;
use crate::runtime::memory::allocated;
use crate::sse::{EventId, Frame};

/// Whole SSE lines, encoded once for all clients, with the ids that are in force after them.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The encoded lines.
    pub frame: Frame,
    /// The last event id of a client that has read this entry.
    pub id: EventId,
    /// The upstream's own id that is in force after this entry, whatever ids clients see. The gateway sends it as
    /// `Last-Event-ID` when it reconnects.
    pub source_id: EventId,
    /// The entry's effect on the client.
    pub kind: EntryKind,
    /// The time at which it was received.
    pub at: Instant,
}

/// The effect of an entry on the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Dispatches an event.
    Event {
        /// The fingerprint of the id, type and data that the upstream sent. A minted id is not part of it.
        fingerprint: u64,
        /// True if the upstream gave it an id.
        has_own_id: bool,
        /// The fingerprint of the event's type.
        type_fingerprint: u64,
    },
    /// Dispatches nothing: an id alone or a reconnection time.
    Control,
    /// Marks a break of continuity: a reader that passes it has missed something. Its frame tells the client if the
    /// route reports gaps in-band, and dispatches an event only if the route reports them as events.
    Gap(Gap),
}

impl Entry {
    /// Returns true if the client dispatches an event.
    pub fn is_event(&self) -> bool {
        matches!(self.kind, EntryKind::Event { .. })
    }

    /// Returns the approximate memory of the entry in a log, in bytes.
    pub(super) fn weight(&self) -> usize {
        frame_memory(&self.frame) + self.id.as_str().len() + OVERHEAD
    }

    /// Returns true if the client dispatches an event to which the upstream gave no id.
    pub(super) fn is_nameless_event(&self) -> bool {
        matches!(self.kind, EntryKind::Event { has_own_id: false, .. })
    }

    /// Returns the fingerprint of an event to which the upstream gave an id.
    pub(super) fn named_fingerprint(&self) -> Option<u64> {
        match self.kind {
            EntryKind::Event { fingerprint, has_own_id: true, .. } => Some(fingerprint),
            EntryKind::Event { has_own_id: false, .. } | EntryKind::Control | EntryKind::Gap(_) => None,
        }
    }
}

/// Returns the memory that a frame takes, however many clones there are. In bytes.
pub(super) fn frame_memory(frame: &Frame) -> usize {
    allocated(frame.len() + CHUNK_FRAMING)
}

/// Bytes of a frame around its lines: the longest chunk-size line and the end of the chunk.
const CHUNK_FRAMING: usize = 20;

/// Bytes of an entry besides its frame and id: its slot in the log and the index, and allocator overhead.
const OVERHEAD: usize = 320;
