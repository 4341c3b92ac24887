//! Observing a stream without being one of its readers.
//!
//! A tap neither opens a stream nor keeps it open, and no subscriber count includes it. It polls the log from time to
//! time and holds no events.

use std::sync::{Arc, Weak};

use crate::sse::Frame;
use crate::stream::event_stream::EventStream;
use crate::stream::log::Offset;
use crate::stream::progress::Phase;

/// An observer of one stream.
#[derive(Debug)]
pub struct Tap {
    stream: Weak<EventStream>,
    next: Offset,
    /// The number of events before `next`, from the beginning of the stream.
    events_read: u64,
}

/// The result of one poll.
#[derive(Debug)]
pub struct Tapped {
    /// The new entries, in order.
    pub frames: Vec<Frame>,
    /// The number of events that were evicted before they could be read.
    pub missed: u64,
}

impl Tap {
    /// Starts at the log's end.
    pub fn new(stream: &Arc<EventStream>) -> Self {
        let log = stream.log();
        Self { stream: Arc::downgrade(stream), next: log.end(), events_read: log.events_until(log.end()) }
    }

    /// Takes new entries of at most `bytes` in total, or a single larger one. Returns `None` if the stream is over or
    /// closed.
    pub fn take(&mut self, bytes: usize) -> Option<Tapped> {
        let stream = self.stream.upgrade()?;
        let is_over = matches!(stream.progress().phase, Phase::Complete | Phase::Incomplete(_) | Phase::Refused(_));
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
