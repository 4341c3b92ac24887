//! What was published last, as one piece that all readers share.
//!
//! Nearly every reader of a busy stream lacks exactly this. It takes it without the log's lock and without a list of its
//! own; everyone else reads the log. Never holds what the log has evicted for longer than until the next look.

use std::time::Instant;

use super::entry::Entry;
use super::log::Offset;
use super::subscription::Taken;
use crate::sse::Frame;

/// See the module.
#[derive(Debug)]
pub struct News {
    start: Offset,
    bytes: usize,
    taken: Taken,
}

/// News that are being gathered.
pub struct Gathering {
    start: Offset,
    frames: Vec<Frame>,
    events: u64,
    oldest: Option<Instant>,
}

impl News {
    /// None yet, from this place on.
    pub fn from(start: Offset) -> Gathering {
        Gathering { start, frames: Vec::new(), events: 0, oldest: None }
    }

    /// Where they begin.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// All of it for a reader that stands where they begin, if it takes so many bytes and fewer than so many events.
    pub fn taken(&self, at: Offset, bytes: usize, events: u64) -> Option<Taken> {
        let is_all = self.start == at && self.bytes <= bytes && self.taken.events < events;
        is_all.then(|| self.taken.clone())
    }
}

impl Gathering {
    /// One more.
    pub fn add(&mut self, entry: &Entry) {
        self.frames.push(entry.frame.clone());
        self.events += u64::from(entry.is_event());
        self.oldest.get_or_insert(entry.at);
    }

    /// The news, if there are any and the log, which now begins there, has all of them.
    pub fn within(self, start: Offset) -> Option<News> {
        let is_whole = !self.frames.is_empty() && self.start >= start;
        let bytes = self.frames.iter().map(Frame::len).sum();
        let taken = Taken { frames: self.frames.into(), events: self.events, oldest: self.oldest };
        is_whole.then_some(News { start: self.start, bytes, taken })
    }
}
