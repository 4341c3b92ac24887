//! A cache of the last frame that sets an id without dispatching an event.
//!
//! An id may be as long as an event, and many clients are at the same position. So they share one frame.

use parking_lot::Mutex;

use crate::sse::{Encoder, EventId, Frame};

/// Caches the last frame that was made.
#[derive(Debug, Default)]
pub(crate) struct IdFrameCache(Mutex<Option<(EventId, Frame)>>);

impl IdFrameCache {
    /// Returns a frame that sets `id` and dispatches nothing.
    pub(crate) fn frame(&self, id: &EventId) -> Frame {
        let mut cached = self.0.lock();
        if let Some((_, frame)) = cached.as_ref().filter(|(known, _)| known == id) {
            return frame.clone();
        }
        let mut encoder = Encoder::new();
        encoder.id(id).blank_line();
        let frame = encoder.finish();
        *cached = Some((id.clone(), frame.clone()));
        frame
    }
}
