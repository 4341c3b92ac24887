//! Looking at a stream as it flows, without being one of its readers.
//!
//! Neither opens a stream nor keeps one open, and nobody's count of subscribers sees it: whoever looks comes by now and
//! then and takes what is new. Holds no events.

use std::sync::{Arc, Weak};

use crate::sse::Frame;
use crate::stream::event_stream::EventStream;
use crate::stream::log::Offset;
use crate::stream::progress::Phase;

/// A look at one stream.
#[derive(Debug)]
pub struct Tap {
    stream: Weak<EventStream>,
    next: Offset,
    /// Events before `next`, in the stream's life.
    events_read: u64,
}

/// What a look found.
#[derive(Debug)]
pub struct Tapped {
    /// New entries, in order.
    pub frames: Vec<Frame>,
    /// Events that were gone before they were looked at.
    pub missed: u64,
}

impl Tap {
    /// Looks at a stream from now on.
    pub fn new(stream: &Arc<EventStream>) -> Self {
        let log = stream.log();
        Self { stream: Arc::downgrade(stream), next: log.end(), events_read: log.events_until(log.end()) }
    }

    /// What is new, of at most `bytes` together or a single larger entry. `None`: the stream is over, or closed.
    pub fn take(&mut self, bytes: usize) -> Option<Tapped> {
        let stream = self.stream.upgrade()?;
        let is_over = matches!(stream.progress().phase, Phase::Complete | Phase::Refused(_));
        let log = stream.log();
        let missed = log.entries_from(self.next, self.events_read).err().map_or(0, |lagged| lagged.missed);
        self.next = self.next.max(log.start());
        let mut frames = Vec::new();
        let mut size = 0;
        for entry in log.entries_from(self.next, self.events_read).ok()? {
            if !frames.is_empty() && size + entry.frame.len() > bytes {
                break;
            }
            size += entry.frame.len();
            frames.push(entry.frame.clone());
            self.next.0 += 1;
        }
        self.events_read = log.events_until(self.next);
        (!is_over || !frames.is_empty()).then_some(Tapped { frames, missed })
    }
}
