//! Joins the history that an extra request returned to the log, without a gap and without duplicates.
//!
//! ```text
//!  requested after 3:  4   5   6   7  (8 …)       the upstream's own history, then live
//!  the log:                    6   7   8          from when the stream's connection was made, less what was evicted
//!  a client gets:      4   5   6 ┃ 7   8   …      ┃ the offset in the log from which it reads on
//! ```
//!
//! The request is made while the stream is connected, so the log has or had everything that came since. History is
//! collected until one event of it is in the log; from there on the log has the rest.
//!
//! Two things need proof. The upstream must have understood the id (see [`CatchUp::is_proved`]). Two events are the
//! same only if id, type and data are equal, and only events with an id count. One thing cannot be verified and is
//! taken on trust: an upstream that returns part of its history returns all of it after the id.
//!
//! Pure: the log is only read, and nothing waits or is sent.

use crate::sse::{Encoder, Event, EventId, Frame, Item};
use crate::stream::feed::Batch;
use crate::stream::log::{EventLog, Fingerprints, Offset};
use crate::stream::read::{CaughtUp, ReplayCheck};

/// The bounds of requests for history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUpLimit {
    /// The maximum number of events, and of ids without an event, in one response. Default 10000.
    pub events: usize,
    /// The maximum number of bytes in one response, comments included, and of memory for its events. Default 8 MiB.
    pub bytes: usize,
    /// The maximum number of concurrent requests. Default 16.
    pub concurrent: usize,
}

/// The history that a request has returned so far.
#[derive(Debug)]
pub struct CatchUp {
    after: EventId,
    /// True if the log once had `after`. Otherwise the id is older than the stream's own connection.
    was_evicted: bool,
    /// The log's end when the request was made.
    opened_at: Offset,
    limit: CatchUpLimit,
    fingerprints: Fingerprints,
    entries: Vec<HistoryEntry>,
    events: usize,
    bytes: usize,
    /// The memory of the entries.
    memory: usize,
    /// True if the upstream has shown that it continues after the id: it said so, or it sent the id itself.
    is_confirmed: bool,
    has_seen_id: bool,
}

#[derive(Debug)]
struct HistoryEntry {
    frame: Frame,
    /// The fingerprint, or `None` if the entry dispatches nothing.
    event: Option<u64>,
    /// The id that the upstream gave to it.
    id: Option<EventId>,
}

/// The reason why a client cannot be caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUpError {
    /// The history has too many events or bytes.
    TooLarge,
    /// The upstream returned nothing older than the log. It may not support `Last-Event-ID`.
    Unproved,
    /// The upstream ended its response before the log was reached.
    EndedEarly,
    /// The connection broke, or its credentials are no longer in force.
    Broken,
    /// The upstream could not be reached.
    Away,
    /// The upstream refused the request, or said that it cannot continue after the id.
    Refused,
    /// The log was not reached in time.
    TimedOut,
    /// Too many requests for history are in progress.
    Busy,
}

impl CatchUp {
    /// Starts with an empty history. `opened_at` must be the log's end before the request is made.
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
            memory: 0,
            is_confirmed: false,
            has_seen_id: false,
        }
    }

    /// Notes that the upstream's response head confirmed that it continues after the id.
    pub fn confirm_continuity(&mut self) {
        self.is_confirmed = true;
    }

    /// Accepts a batch. Returns the result once the log is reached, and ignores the rest of the batch, which the log
    /// has.
    ///
    /// # Errors
    ///
    /// [`CatchUpError::TooLarge`] or [`CatchUpError::Unproved`].
    pub fn accept(&mut self, batch: Batch, log: &EventLog) -> Result<Option<CaughtUp>, CatchUpError> {
        self.bytes = self.bytes.saturating_add(batch.bytes);
        if self.bytes > self.limit.bytes {
            return Err(CatchUpError::TooLarge);
        }
        for item in batch.items {
            match item {
                // Clients get the reconnection time through the stream's own connection.
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
            if self.events > self.limit.events || self.memory > self.limit.bytes {
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
        self.push(HistoryEntry { frame: encoder.finish(), event: None, id: None });
    }

    fn accept_event(&mut self, event: &Event) {
        if self.discard_through_id(event.id.as_ref()) {
            return;
        }
        let id = event.id.clone().filter(|id| !id.is_empty());
        self.push(HistoryEntry { frame: Frame::from(event), event: Some(self.fingerprints.event(event)), id });
    }

    fn push(&mut self, entry: HistoryEntry) {
        self.memory += entry.frame.len() + entry.id.as_ref().map_or(0, |id| id.as_str().len()) + ENTRY_COST;
        self.entries.push(entry);
    }

    /// Returns the approximate memory of the history so far, in bytes.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Checks the first event: one that the log had evicted before the request proves that the upstream went back.
    /// Later it could not be told from events that were evicted since.
    fn note_first(&mut self, log: &EventLog) {
        if let (1, Some(HistoryEntry { event: Some(fingerprint), id: Some(_), .. })) =
            (self.entries.len(), self.entries.last())
        {
            self.is_confirmed |= self.was_evicted && log.start() <= self.opened_at && log.has_evicted(*fingerprint);
        }
    }

    /// Discards everything up to the requested id, which the client has. An upstream that sends the id confirms
    /// continuity.
    fn discard_through_id(&mut self, id: Option<&EventId>) -> bool {
        let is_it = !self.has_seen_id && id == Some(&self.after);
        if is_it {
            self.entries.clear();
            self.memory = 0;
            self.is_confirmed = true;
            self.has_seen_id = true;
        }
        is_it
    }

    /// Returns true if no history has been collected.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the result if the newest event with an id is in the log. Must be called after each event and whenever
    /// the log has grown.
    ///
    /// # Errors
    ///
    /// [`CatchUpError::Unproved`] if the event is in the log but nothing proves that the history before it is complete.
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

    /// Returns true if the log never had an event, so that there is nothing to join: see [`Self::finish_without_log`].
    pub fn can_finish_without_log(log: &EventLog) -> bool {
        log.events_until(log.end()) == 0
    }

    /// Returns the collected history as complete. Called when the upstream has paused or ended and the log never had an
    /// event.
    ///
    /// # Errors
    ///
    /// [`CatchUpError::Unproved`] if the upstream returned nothing and did not confirm the id.
    pub fn finish_without_log(&mut self, log: &EventLog) -> Result<CaughtUp, CatchUpError> {
        if !self.is_proved(log) {
            return Err(CatchUpError::Unproved);
        }
        let events: Vec<_> =
            self.entries.iter().filter_map(|entries| Some((entries.event?, entries.id.is_some()))).collect();
        let newest = events[events.len().saturating_sub(MAX_DUPLICATES)..].into();
        Ok(self.caught_up(log, log.end(), ReplayCheck::new(newest)))
    }

    /// Returns true if the upstream has proved that it went back to the id. It said so, it sent the id, or its first
    /// event with an id is not in the log or was evicted before the request. An upstream that starts at the present, or
    /// sends the same few events to everyone, returns what the log has.
    fn is_proved(&self, log: &EventLog) -> bool {
        let first = self.entries.iter().find_map(|entries| Some((entries.id.as_ref()?, entries.event?)));
        match first {
            _ if self.is_confirmed => true,
            None => false,
            Some((name, fingerprint)) if log.events_with_id(name.as_str(), fingerprint).next().is_some() => false,
            // Evicted since the request was made, or the id was never in the log.
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
    /// Returns true if the upstream went away, so that the same request may succeed once it is back.
    pub fn is_away(self) -> bool {
        match self {
            Self::Away | Self::Broken => true,
            Self::TooLarge | Self::Unproved | Self::EndedEarly | Self::Refused | Self::TimedOut | Self::Busy => false,
        }
    }

    /// Returns the label of the error in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Unproved => "unproved",
            Self::EndedEarly => "ended",
            Self::Broken => "broken",
            Self::Away | Self::Refused => "refused",
            Self::TimedOut => "late",
            Self::Busy => "busy",
        }
    }
}

/// Approximate memory of an entry beyond its frame and id, in bytes.
const ENTRY_COST: usize = 128;

/// The maximum number of events that the stream's own connection may be behind the request when that pauses.
const MAX_DUPLICATES: usize = 64;

#[cfg(test)]
mod tests;
