//! Joins what an extra request brought of the past to the log, without seam or repetition.
//!
//! ```text
//!  asked after 3:      4   5   6   7  (8 …)       the upstream's own history, then live
//!  the log:                    6   7   8          from when the stream's connection was made, less what was evicted
//!  a client gets:      4   5   6 ┃ 7   8   …      ┃ the place in the log from which it reads on
//! ```
//!
//! The request is made while the stream is connected, so the log has, or has had, everything that came since. What is
//! entries is kept until one event of it is in the log: from there on the log has the rest. Two things are never taken on
//! trust: that an upstream understood the id (see [`CatchUp::is_proved`]), and that two events are one because their ids
//! are (id, type and data must be equal, and only named events count). What is taken on trust is what nobody can see from
//! here: that an upstream which brings some of its past brings all of it that came after the id.
//!
//! Pure: the log is only read, nothing waits, nothing is sent.

use crate::sse::{Encoder, Event, EventId, Frame, Item};
use crate::stream::feed::Batch;
use crate::stream::log::{EventLog, Fingerprints, Offset};
use crate::stream::read::{CaughtUp, ReplayCheck};

/// Bounds of catching up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUpLimit {
    /// Most events (and ids alone) that one request may bring. Default 10000.
    pub events: usize,
    /// Most bytes that one request may bring, comments included. Default 8 MiB.
    pub bytes: usize,
    /// Most requests at a time, and most results that are held for clients that still read them. Default 16.
    pub concurrent: usize,
}

/// What an extra request has brought so far.
#[derive(Debug)]
pub struct CatchUp {
    after: EventId,
    /// Whether the log once had `after`; else it comes from before the stream's own connection.
    was_evicted: bool,
    /// The log's end when the request was made: what was there before is the past.
    opened_at: Offset,
    limit: CatchUpLimit,
    fingerprints: Fingerprints,
    entries: Vec<HistoryEntry>,
    events: usize,
    bytes: usize,
    /// The upstream itself showed that it goes on after the id: it said so, or it named the id.
    is_confirmed: bool,
    has_seen_id: bool,
}

#[derive(Debug)]
struct HistoryEntry {
    frame: Frame,
    /// The fingerprint; `None`: dispatches nothing.
    event: Option<u64>,
    /// What the upstream called it.
    id: Option<EventId>,
}

/// Why a client cannot be entries up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUpError {
    /// Too many events or bytes.
    TooLarge,
    /// The upstream brought nothing older than the log has: perhaps it does not know what a `Last-Event-ID` is.
    Unproved,
    /// The upstream ended its response before the log was reached.
    EndedEarly,
    /// The upstream's connection broke.
    Broken,
    /// The upstream refused the request, or said that it cannot go on after the id.
    Refused,
    /// The log was not reached in time.
    TimedOut,
    /// Too many others are being entries up.
    Busy,
}

impl CatchUp {
    /// Begins: `opened_at` is the log's end before the request is made.
    pub fn new(
        after: EventId,
        was_evicted: bool,
        opened_at: Offset,
        limit: CatchUpLimit,
        fingerprints: Fingerprints,
    ) -> Self {
        Self {
            after,
            was_evicted,
            opened_at,
            limit,
            fingerprints,
            entries: Vec::new(),
            events: 0,
            bytes: 0,
            is_confirmed: false,
            has_seen_id: false,
        }
    }

    /// The upstream said in its response's head that it goes on after the id.
    pub fn confirm_continuity(&mut self) {
        self.is_confirmed = true;
    }

    /// Takes what came; `Some` once the log is reached. What came behind that is the log's to tell.
    ///
    /// # Errors
    /// [`CatchUpError::TooLarge`], [`CatchUpError::Unproved`].
    pub fn accept(&mut self, batch: Batch, log: &EventLog) -> Result<Option<CaughtUp>, CatchUpError> {
        self.bytes = self.bytes.saturating_add(batch.bytes);
        if self.bytes > self.limit.bytes {
            return Err(CatchUpError::TooLarge);
        }
        for item in batch.items {
            match item {
                // A reconnection time reaches clients by way of the stream's own connection.
                Item::Retry(_) => continue,
                // The history has a hole.
                Item::Skipped(_) => return Err(CatchUpError::TooLarge),
                Item::Comment(verdict) if verdict.starts_with("gap") => return Err(CatchUpError::Unproved),
                Item::Comment(_) => continue,
                Item::Id(id) => self.accept_id(&id),
                Item::Event(event) => self.accept_event(&event),
            }
            self.events += 1;
            self.note_first(log);
            if self.events > self.limit.events {
                return Err(CatchUpError::TooLarge);
            }
            if let Some(caught_up) = self.try_join(log)? {
                return Ok(Some(caught_up));
            }
        }
        Ok(None)
    }

    fn accept_id(&mut self, id: &EventId) {
        if self.discard_through_id(Some(id)) {
            return;
        }
        let mut encoder = Encoder::new();
        encoder.id(id).blank_line();
        self.entries.push(HistoryEntry { frame: encoder.finish(), event: None, id: None });
    }

    fn accept_event(&mut self, event: &Event) {
        if self.discard_through_id(event.id.as_ref()) {
            return;
        }
        let id = event.id.clone().filter(|id| !id.is_empty());
        self.entries.push(HistoryEntry { frame: Frame::from(event), event: Some(self.fingerprints.event(event)), id });
    }

    /// What the log has forgotten of the time before the request shows at once that the upstream went back. Later, when
    /// the log has moved on, it could not be told from what came since.
    fn note_first(&mut self, log: &EventLog) {
        if let (1, Some(HistoryEntry { event: Some(fingerprint), id: Some(_), .. })) =
            (self.entries.len(), self.entries.last())
        {
            self.is_confirmed |= self.was_evicted && log.start() <= self.opened_at && log.has_evicted(*fingerprint);
        }
    }

    /// An upstream that begins before the id, or with it, shows it: what came up to there, the client has.
    fn discard_through_id(&mut self, id: Option<&EventId>) -> bool {
        let is_it = !self.has_seen_id && id == Some(&self.after);
        if is_it {
            self.entries.clear();
            self.is_confirmed = true;
            self.has_seen_id = true;
        }
        is_it
    }

    /// Whether nothing has been entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Looks whether the newest named event is in the log by now, as after each event and whenever the log has grown.
    ///
    /// # Errors
    /// [`CatchUpError::Unproved`]: it is, and nothing shows that what came before it is all.
    pub fn try_join(&mut self, log: &EventLog) -> Result<Option<CaughtUp>, CatchUpError> {
        let newest = self.entries.iter().rposition(|entries| entries.id.is_some());
        let place = newest.and_then(|newest| {
            let HistoryEntry { event, id, .. } = &self.entries[newest];
            log.offset_after_event(id.as_ref()?.as_str(), (*event)?)
        });
        let (Some(newest), Some(place)) = (newest, place) else { return Ok(None) };
        if !self.is_proved(log) {
            return Err(CatchUpError::Unproved);
        }
        self.entries.truncate(newest + 1);
        Ok(Some(self.caught_up(log, place, ReplayCheck::default())))
    }

    /// Whether nothing more can be expected and the stream has no events to join to: see [`Self::settle`].
    pub fn can_finish_without_log(log: &EventLog) -> bool {
        log.events_until(log.end()) == 0
    }

    /// The upstream has paused, or said all, and the log never had an event: what was entries is all there is.
    ///
    /// # Errors
    /// [`CatchUpError::Unproved`]: it brought nothing and said nothing about the id.
    pub fn finish_without_log(&mut self, log: &EventLog) -> Result<CaughtUp, CatchUpError> {
        if !self.is_proved(log) {
            return Err(CatchUpError::Unproved);
        }
        let events: Vec<_> =
            self.entries.iter().filter_map(|entries| Some((entries.event?, entries.id.is_some()))).collect();
        let newest = events[events.len().saturating_sub(MAX_DUPLICATES)..].into();
        Ok(self.caught_up(log, log.end(), ReplayCheck::new(newest)))
    }

    /// Whether the upstream has shown that it went back to the id: by saying so, by naming the id, or by bringing, as
    /// its first named event, one that the log does not have, or had forgotten before the request was made. One that
    /// begins at the present, or with the same few events for everyone, brings what the log has.
    fn is_proved(&self, log: &EventLog) -> bool {
        let first = self.entries.iter().find_map(|entries| Some((entries.id.as_ref()?, entries.event?)));
        match first {
            _ if self.is_confirmed => true,
            None => false,
            Some((name, fingerprint)) if log.events_with_id(name.as_str(), fingerprint).next().is_some() => false,
            // Forgotten since the request was made, or never near an id that was never here.
            Some((_, fingerprint)) if log.has_evicted(fingerprint) => false,
            Some(_) => log.remembers_evicted_since(self.opened_at),
        }
    }

    fn caught_up(&mut self, log: &EventLog, offset: Offset, replay_check: ReplayCheck) -> CaughtUp {
        let entries = std::mem::take(&mut self.entries);
        let frames: Vec<_> = entries.into_iter().map(|entry| (entry.frame, entry.event.is_some())).collect();
        let events = frames.iter().filter(|(_, is_event)| *is_event).count() as u64;
        CaughtUp { frames, events, offset, events_read: log.events_until(offset), replay_check }
    }
}

impl CatchUpError {
    /// A short name for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Unproved => "unproved",
            Self::EndedEarly => "ended",
            Self::Broken => "broken",
            Self::Refused => "refused",
            Self::TimedOut => "late",
            Self::Busy => "busy",
        }
    }
}

/// How many events the stream's own connection may be behind the extra one when that one has paused.
const MAX_DUPLICATES: usize = 64;

#[cfg(test)]
mod tests;
