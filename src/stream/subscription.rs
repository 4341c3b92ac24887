//! One reader of a stream: an offset, and the signal that tells it to look.
//!
//! A subscription holds no events and no queue; being slow costs it nothing but its place. Does not know how events are
//! delivered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::event_stream::{EventStream, Phase, Progress};
use super::journal::RETURN_PATIENCE;
use super::log::{Lagged, Offset, Place};
use super::policy::{OnGap, Start};
use super::source::OpenError;
use super::verdict::{Gap, Verdict};
use crate::sse::{Encoder, EventId, Frame};

/// One reader.
#[derive(Debug)]
pub struct Subscription {
    stream: Arc<EventStream>,
    progress: watch::Receiver<Progress>,
    next: Offset,
    /// Events before `next`, in the stream's life: what lag is measured against.
    read: u64,
}

/// What there is to do for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Entries can be read.
    Entries,
    /// Nothing more will come.
    Complete,
    /// The stream was refused after all and is being forgotten: whoever comes back is told why.
    Refused,
}

/// Entries taken from the log.
#[derive(Debug, Default)]
pub struct Taken {
    /// Their bytes, in order.
    pub frames: Vec<Frame>,
    /// How many of them dispatch an event.
    pub events: u64,
    /// When the oldest of them came.
    pub oldest: Option<Instant>,
}

impl Subscription {
    pub(super) fn new(stream: Arc<EventStream>, progress: watch::Receiver<Progress>) -> Self {
        let (next, read) = {
            let log = stream.log();
            (log.end(), log.events_until(log.end()))
        };
        Self { stream, progress, next, read }
    }

    /// The stream that is read.
    pub fn stream(&self) -> &Arc<EventStream> {
        &self.stream
    }

    /// Waits for the source's first outcome and returns the phase it led to. Cancel-safe.
    ///
    /// # Errors
    /// What refused the stream, or, with `is_refused_when_down`, what keeps it down.
    pub async fn opened(&mut self, is_refused_when_down: bool) -> Result<(), Arc<OpenError>> {
        let progress = self
            .progress
            .wait_for(|progress| progress.phase != Phase::Opening)
            .await
            .expect("the subscription holds the stream and with it the sender");
        match &progress.phase {
            Phase::Refused(error) => Err(error.clone()),
            Phase::Retrying(Some(error)) if is_refused_when_down || !error.is_down() => Err(error.clone()),
            Phase::Retrying(None) if is_refused_when_down => {
                Err(Arc::new(OpenError::Unreachable("the connection broke".to_owned())))
            }
            Phase::Retrying(_) | Phase::Opening | Phase::Live | Phase::Complete => Ok(()),
        }
    }

    /// Waits until `id` is in the log or nothing speaks for it to turn up, and at most for `patience`.
    ///
    /// Only of a stream that goes on after it was cut off may an id be unknown that is right: clients may hold ids that
    /// were not kept, and the upstream, asked to go on after the last one that was, brings them again. Cancel-safe.
    pub async fn may_find(&mut self, id: &str, patience: Duration) {
        let stream = self.stream.clone();
        let is_decided = |progress: &Progress| {
            matches!(progress.phase, Phase::Complete | Phase::Refused(_)) || !stream.may_return(id)
        };
        let patience = tokio::time::Instant::now() + patience;
        loop {
            let now = tokio::time::Instant::now();
            if is_decided(&self.progress.borrow_and_update()) || now >= patience {
                return;
            }
            // Time decides as well, and it moves no signal.
            let a_while = (now + RETURN_PATIENCE / 8).min(patience);
            let _ = tokio::time::timeout_at(a_while, self.progress.changed()).await;
        }
    }

    /// Goes to where a client without an id starts. A reader that opened the stream keeps what came since.
    pub fn start(&mut self, start: Start) -> Verdict {
        let log = self.stream.log();
        let at = match start {
            Start::Live => {
                self.read = log.events_until(self.next);
                return Verdict::Live;
            }
            Start::Oldest => log.start(),
            Start::Last(count) => log.newest(count),
        };
        self.next = at;
        self.read = log.events_until(at);
        Verdict::Replay { missed: log.events_after(at) }
    }

    /// Goes to where the client with this id stopped, or to where the route sends those who cannot.
    pub fn resume(&mut self, id: &str, on_gap: OnGap) -> Verdict {
        let log = self.stream.log();
        let gap = match log.place(id) {
            Place::Here(at) => {
                self.next = at;
                self.read = log.events_until(at);
                return Verdict::Resumed { missed: log.events_after(at) };
            }
            Place::Evicted => Gap::Evicted,
            Place::Unknown if self.stream.minter().is_of_this_life(id) => Gap::Evicted,
            Place::Unknown if self.stream.minter().is_own_form(id) => Gap::Restarted,
            Place::Unknown => Gap::Unknown,
        };
        if on_gap == OnGap::Oldest {
            self.next = log.start();
        }
        self.read = log.events_until(self.next);
        Verdict::Gap(gap)
    }

    /// The id in force at the reader's place. `None`: there is none, or the place is gone.
    pub fn id_in_force(&self) -> Option<EventId> {
        let log = self.stream.log();
        let id = log.id_at(self.next);
        (self.next >= log.start() && !id.is_empty()).then(|| id.clone())
    }

    /// Where the reader stands.
    pub fn place(&self) -> Offset {
        self.next
    }

    /// How many events the reader is behind the newest.
    pub fn behind(&self) -> u64 {
        let log = self.stream.log();
        log.events_until(log.end()).saturating_sub(self.read)
    }

    /// Waits until there is something to read or nothing will come. Cancel-safe.
    pub async fn ready(&mut self) -> Ready {
        let next = self.next;
        let progress = self
            .progress
            .wait_for(|progress| progress.end > next || matches!(progress.phase, Phase::Complete | Phase::Refused(_)))
            .await
            .expect("the subscription holds the stream and with it the sender");
        match progress.phase {
            _ if progress.end > next => Ready::Entries,
            Phase::Refused(_) => Ready::Refused,
            _ => Ready::Complete,
        }
    }

    /// Whether entries wait to be read.
    pub fn is_behind(&self) -> bool {
        self.progress.borrow().end > self.next
    }

    /// Whether entries of at least `bytes` together wait to be read, or some of them are gone already.
    pub fn has_waiting(&self, bytes: usize) -> bool {
        let log = self.stream.log();
        let Ok(mut entries) = log.from(self.next, self.read) else { return true };
        let mut waiting = 0;
        entries.any(|entry| {
            waiting += entry.frame.len();
            waiting >= bytes
        })
    }

    /// Takes entries of at most `bytes` together, or a single larger one, and at most `events` events.
    ///
    /// # Errors
    /// [`Lagged`] when the place is no longer in the log; nothing is taken then.
    pub fn take(&mut self, bytes: usize, events: u64) -> Result<Taken, Lagged> {
        let log = self.stream.log();
        let mut taken = Taken::default();
        let mut size = 0;
        for entry in log.from(self.next, self.read)? {
            let is_full = !taken.frames.is_empty() && size + entry.frame.len() > bytes;
            if is_full || taken.events >= events {
                break;
            }
            size += entry.frame.len();
            taken.events += u64::from(entry.is_event());
            taken.oldest.get_or_insert(entry.at);
            taken.frames.push(entry.frame.clone());
            self.next.0 += 1;
        }
        self.read += taken.events;
        Ok(taken)
    }

    /// As [`Self::take`], but a reader for whom more waits than `bytes` gets only the newest event of each type, and
    /// with it everything that it will ever get of what waits now. Of more types than `events`, those whose news is newest.
    ///
    /// # Errors
    /// [`Lagged`], as for [`Self::take`].
    pub fn take_latest(&mut self, bytes: usize, events: u64) -> Result<Taken, Lagged> {
        if !self.has_waiting(bytes) {
            return self.take(bytes, events);
        }
        let log = self.stream.log();
        drop(log.from(self.next, self.read)?);
        let mut taken = Taken::default();
        let newest = log.newest_of_each_type(self.next);
        let too_many = newest.len().saturating_sub(usize::try_from(events).unwrap_or(usize::MAX));
        for offset in newest.into_iter().skip(too_many) {
            let Some(entry) = log.from(offset, 0)?.next() else { break };
            taken.events += 1;
            taken.oldest.get_or_insert(entry.at);
            taken.frames.push(entry.frame.clone());
        }
        self.next = log.end();
        self.read = log.events_until(self.next);
        // The id in force may have been said by an entry that was left out.
        let id = log.id_at(self.next);
        if !id.is_empty() {
            let mut encoder = Encoder::new();
            encoder.id(id).blank();
            taken.frames.push(encoder.finish());
        }
        Ok(taken)
    }

    /// After [`Lagged`]: goes on at the oldest entry kept.
    pub fn skip(&mut self) {
        let log = self.stream.log();
        self.next = log.start();
        self.read = log.events_until(self.next);
    }
}
