//! The events that a caught-up client reads before it reads the log.
//!
//! A backlog is a position in a result that all clients with the same id share. Once everything is read, only the check
//! for duplicates remains, and after the next events of the log nothing.

use std::sync::Arc;

use tokio::sync::watch;

use super::replay_check::ReplayCheck;
use crate::sse::Frame;
use crate::stream::batch::{BatchOffsets, ReadBatch, ReadBatchBuilder};
use crate::stream::log::{Entry, EntryKind, Lagged, Offset};

/// The history that a client reads first, and the offset in the log from which it continues.
#[derive(Debug)]
pub struct CaughtUp {
    /// The frames, each with true if it dispatches an event.
    pub frames: Vec<(Frame, bool)>,
    /// The number of events among them.
    pub events: u64,
    /// The offset at which to continue in the log.
    pub offset: Offset,
    /// The number of events before that offset, from the beginning of the stream.
    pub events_read: u64,
    /// The events that the log may still append although they are among the frames.
    pub replay_check: ReplayCheck,
}

/// The state of a request for history, as the waiting clients see it.
#[derive(Clone, Debug)]
pub(crate) enum CatchUpState {
    /// The request is in progress.
    Running,
    /// The history is ready to be read.
    Done(Arc<CaughtUp>),
    /// The request failed, or the time for reading has expired.
    Over,
    /// The request failed because the upstream is away. It may be made again.
    Away,
}

/// One client's position in the history that it was caught up with.
#[derive(Debug)]
pub struct Backlog {
    /// `None` once everything is read.
    result: Option<watch::Receiver<CatchUpState>>,
    next: usize,
    replay_check: ReplayCheck,
    continuation: Continuation,
}

/// The point at which a client continues in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Continuation {
    /// The number of events in the backlog.
    pub(super) events: u64,
    /// The offset in the log.
    pub(super) offset: Offset,
    /// The number of events before that offset, from the beginning of the stream.
    pub(super) events_read: u64,
}

impl Backlog {
    /// Starts at the beginning of the history. Returns `None` if the time for reading has expired.
    pub(crate) fn new(result: watch::Receiver<CatchUpState>) -> Option<Self> {
        let (replay_check, continuation, is_read) = {
            let state = result.borrow();
            let CaughtUp { frames, events, offset, events_read, replay_check } = caught_up(&state)?;
            let continuation = Continuation { events: *events, offset: *offset, events_read: *events_read };
            (replay_check.clone(), continuation, frames.is_empty())
        };
        Some(Self { result: (!is_read).then_some(result), next: 0, replay_check, continuation })
    }

    /// Returns the point at which the client continues in the log.
    pub(super) fn continuation(&self) -> Continuation {
        self.continuation
    }

    /// Returns true if frames are left to read.
    pub(super) fn has_more(&self) -> bool {
        self.result.is_some()
    }

    /// Takes frames of at most `bytes` in total, or a single larger one, and at most `events` events.
    ///
    /// # Errors
    ///
    /// [`Lagged`] if the time for reading has expired.
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
        Ok(builder.finish(BatchOffsets::None))
    }

    /// Counts the leading entries that were in the backlog. Returns the number of entries and of events among them.
    pub(super) fn count_duplicates<'e>(&mut self, entries: impl Iterator<Item = &'e Entry>) -> (u64, u64) {
        let (mut passed, mut events) = (0, 0);
        for (index, entry) in (1..).zip(entries) {
            match entry.kind {
                // Skipped only if a duplicate event follows.
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

    /// Returns true if nothing is left to read or to check.
    pub(super) fn is_finished(&self) -> bool {
        self.result.is_none() && self.replay_check.is_empty()
    }
}

fn caught_up(state: &CatchUpState) -> Option<&CaughtUp> {
    match state {
        CatchUpState::Done(caught_up) => Some(caught_up),
        CatchUpState::Running | CatchUpState::Over | CatchUpState::Away => None,
    }
}
