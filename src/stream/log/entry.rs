//! An entry of the event log: what came once, encoded once for all clients, and the ids in force after it.
//!
//! An entry is never changed once it has been made. Does not know where in a log it stands.

use std::time::Instant;

use super::verdict::Gap;
use crate::sse::{EventId, Frame};

/// What is appended: whole SSE lines, encoded once for all clients.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The bytes.
    pub frame: Frame,
    /// The last event id that a client has after reading this.
    pub id: EventId,
    /// The upstream's own id in force after this, whatever clients are shown: what it can be asked to go on after.
    pub source_id: EventId,
    /// What it is to the client.
    pub kind: EntryKind,
    /// When it came.
    pub at: Instant,
}

/// What an entry is to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Dispatches an event. The number tells the upstream's events apart: equal for equal id, type and data.
    Event {
        /// Fingerprint of what the upstream sent, minted ids not included.
        fingerprint: u64,
        /// Whether the upstream gave it an id of its own.
        has_own_id: bool,
        /// Stands for the event's type: equal for equal types.
        type_fingerprint: u64,
    },
    /// Dispatches nothing: an id alone, a reconnection time.
    Control,
    /// Continuity broke here: who reads across it has missed something. Tells it where the route does so in-band; an event
    /// only where it does so with events.
    Gap(Gap),
}

impl Entry {
    /// Whether a client dispatches something.
    pub fn is_event(&self) -> bool {
        matches!(self.kind, EntryKind::Event { .. })
    }

    /// About what it takes of memory in a log, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.frame.len() + self.id.as_str().len() + OVERHEAD
    }

    /// The fingerprint of an event that the upstream named itself.
    pub(super) fn named_fingerprint(&self) -> Option<u64> {
        match self.kind {
            EntryKind::Event { fingerprint, has_own_id: true, .. } => Some(fingerprint),
            EntryKind::Event { has_own_id: false, .. } | EntryKind::Control | EntryKind::Gap(_) => None,
        }
    }
}

/// What an entry takes beside its bytes and its id: its place in the log and in the index, allocations around it.
const OVERHEAD: usize = 320;
