//! The steps between the head of a response and its first event.

use super::pending_resume::PendingResume;
use crate::sse::{EventId, Frame};
use crate::stream::EventStream;

/// A step that must be done before the first event.
pub(super) enum BeforeEvents {
    /// The outcome of the client's resume. Its position is not known.
    Resume(Box<PendingResume>),
    /// The last event id at the client's position, which is long.
    LongId {
        frame: Frame,
        /// The events that the client may read after it.
        events: u64,
    },
}

impl BeforeEvents {
    /// Returns the resume, if it is pending.
    pub(super) fn pending_resume(&self) -> Option<&PendingResume> {
        match self {
            Self::Resume(pending) => Some(pending),
            Self::LongId { .. } => None,
        }
    }

    /// Returns the number of events that the client may read.
    pub(super) fn events(&self) -> u64 {
        match self {
            Self::Resume(pending) => pending.params().limit,
            Self::LongId { events, .. } => *events,
        }
    }
}

/// Returns an id for the prelude, or a frame of its own for an id longer than [`LONG_ID`]: the prelude is copied for each
/// client and sent with the head, while the frame is shared.
pub(crate) fn split_long_id(id: Option<EventId>, stream: &EventStream) -> (Option<EventId>, Option<Frame>) {
    match id {
        Some(id) if id.as_str().len() > LONG_ID => (None, Some(stream.id_frame(&id))),
        id => (id, None),
    }
}

/// The longest id, in bytes, that is sent with the head.
const LONG_ID: usize = 4096;
