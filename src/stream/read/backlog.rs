//! What a caught-up client reads before the log.
//!
//! A position in a result that all clients with the same id share; it holds nothing of its own. Once all is read only a
//! short replay_check is left, and after the log's next events nothing.

use std::sync::Arc;

use tokio::sync::watch;

use super::read_batch::{ReadBatch, ReadBatchBuilder};
use super::replay_check::ReplayCheck;
use crate::sse::Frame;
use crate::stream::log::{Entry, EntryKind, Lagged, Offset};

/// What a client is to read before the log, and where in the log it goes on.
#[derive(Debug)]
pub struct CaughtUp {
    /// Frames, and whether each dispatches an event.
    pub frames: Vec<(Frame, bool)>,
    /// Events among them.
    pub events: u64,
    /// Where to go on.
    pub offset: Offset,
    /// Events before that offset in the stream's life.
    pub events_read: u64,
    /// What the log may still bring although it has been caught.
    pub replay_check: ReplayCheck,
}

/// What those who wait see.
#[derive(Clone, Debug)]
pub enum CatchUpState {
    /// Not known yet.
    Running,
    /// To be read.
    Done(Arc<CaughtUp>),
    /// It failed, or its time is over.
    Over,
}

/// One client's reading of what it was caught up with.
#[derive(Debug)]
pub struct Backlog {
    /// `None`: all is read.
    result: Option<watch::Receiver<CatchUpState>>,
    next: usize,
    replay_check: ReplayCheck,
    continuation: Continuation,
}

/// Where the log goes on after a backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Continuation {
    /// Events in the backlog.
    pub(super) events: u64,
    /// The offset in the log.
    pub(super) offset: Offset,
    /// Events before that offset in the stream's life.
    pub(super) events_read: u64,
}

impl Backlog {
    /// Reads from the beginning; `None` if its time is over.
    pub(crate) fn new(result: watch::Receiver<CatchUpState>) -> Option<Self> {
        let (replay_check, continuation, is_read) = {
            let state = result.borrow();
            let CaughtUp { frames, events, offset, events_read, replay_check } = caught_up(&state)?;
            let continuation = Continuation { events: *events, offset: *offset, events_read: *events_read };
            (replay_check.clone(), continuation, frames.is_empty())
        };
        Some(Self { result: (!is_read).then_some(result), next: 0, replay_check, continuation })
    }

    /// Where the log goes on.
    pub(super) fn continuation(&self) -> Continuation {
        self.continuation
    }

    /// Whether some of it has not been read.
    pub(super) fn has_more(&self) -> bool {
        self.result.is_some()
    }

    /// Takes frames as a subscription takes entries.
    ///
    /// # Errors
    /// [`Lagged`]: the time to read it is over.
    pub(super) fn take(&mut self, bytes: usize, events: u64) -> Result<ReadBatch, Lagged> {
        let mut builder = ReadBatchBuilder::default();
        if let Some(result) = &self.result {
            let state = result.borrow();
            let caught_up = caught_up(&state).ok_or(Lagged { missed: 0 })?;
            for (frame, is_event) in &caught_up.frames[self.next..] {
                if !builder.has_room(frame, bytes, events) {
                    break;
                }
                builder.add(frame.clone(), *is_event);
                self.next += 1;
            }
            let is_read = self.next == caught_up.frames.len();
            drop(state);
            if is_read {
                self.result = None;
            }
        }
        Ok(builder.finish())
    }

    /// How many of the log's next entries have been read already, and how many of those are events.
    pub(super) fn count_duplicates<'e>(&mut self, entries: impl Iterator<Item = &'e Entry>) -> (u64, u64) {
        let (mut passed, mut events) = (0, 0);
        for (index, entry) in (1..).zip(entries) {
            match entry.kind {
                // Passed over only if a repeated event follows it.
                EntryKind::Control | EntryKind::Gap(_) => {}
                EntryKind::Event { fingerprint, has_own_id, .. } => {
                    if !self.replay_check.matches(fingerprint, has_own_id) {
                        self.replay_check = ReplayCheck::default();
                        break;
                    }
                    passed = index;
                    events += 1;
                }
            }
        }
        (passed, events)
    }

    /// Whether nothing is left to be done.
    pub(super) fn is_finished(&self) -> bool {
        self.result.is_none() && self.replay_check.is_empty()
    }
}

fn caught_up(state: &CatchUpState) -> Option<&CaughtUp> {
    match state {
        CatchUpState::Done(caught_up) => Some(caught_up),
        CatchUpState::Running | CatchUpState::Over => None,
    }
}
