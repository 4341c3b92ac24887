//! An id that is cached without an event, as a block: one piece of memory for all who are cached the same in a row.
//!
//! Ids are as long as events may be, and many clients stand at one place. Only the last one is kept.

use parking_lot::Mutex;

use crate::sse::{Encoder, EventId, Frame};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct IdFrameCache(Mutex<Option<(EventId, Frame)>>);

impl IdFrameCache {
    /// The block that sets this id.
    pub fn frame(&self, id: &EventId) -> Frame {
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
