//! From what the upstream says to what is appended: ids given, repetitions after a reconnect left out, gaps told.
//!
//! Within one upstream connection nothing is de-duplicated. After a reconnect, events that the log already has (same id,
//! type and data, contiguous up to its end) are left out, and they are the proof that nothing was missed; without proof
//! a gap is told. Pure, but for the log that is read.

use std::time::{Duration, Instant};

use super::id_minter::IdMinter;
use crate::sse::{Encoder, Event, EventId, Frame, Item};
use crate::stream::log::{Entry, EntryKind, EventLog, Fingerprints, Gap, GapNotice, IdLookup, Offset, ResumeVerdict};

/// The state of one stream's dedup, across upstream connections.
#[derive(Debug)]
pub struct ReconnectDedup {
    /// The upstream's own id in force: all that it is ever asked to go on after.
    upstream_id: EventId,
    /// The id in force for clients.
    shown_id: EventId,
    /// Events so far: what minted ids count.
    event_count: u64,
    fingerprints: Fingerprints,
    replay: ReplayState,
    /// What this connection has said its id is while it may be repeating the log. Not asked for and not shown: both stand
    /// at the log's end until something new comes.
    repeated_id: Option<EventId>,
    gap_notice: GapNotice,
}

/// What is known about the seam between the last upstream connection and this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplayState {
    /// Nothing to prove, or it has been proved.
    None,
    /// The next event decides.
    Expected,
    /// The upstream repeats the log; its next event should equal the entry here.
    Repeating(Offset),
}

/// What a batch of items comes to.
#[derive(Debug, Default)]
pub struct AcceptedItems {
    /// To be published.
    pub entries: Vec<Entry>,
    /// Events among the entries.
    pub events: u64,
    /// The upstream's reconnection time, if it said one.
    pub retry: Option<Duration>,
    /// Gaps that were told.
    pub gaps: Vec<Gap>,
    /// Ids of events that were left out because they were too large.
    pub oversized: Vec<Option<EventId>>,
}

impl ReconnectDedup {
    /// For a stream without a past. `fingerprints` are the stream's.
    pub fn new(gap_notice: GapNotice, fingerprints: Fingerprints) -> Self {
        Self {
            upstream_id: EventId::default(),
            shown_id: EventId::default(),
            event_count: 0,
            fingerprints,
            replay: ReplayState::None,
            repeated_id: None,
            gap_notice,
        }
    }

    /// For a stream with a past: as if this dedup had accepted what is in the log.
    pub fn restored_from(log: &EventLog, gap_notice: GapNotice, fingerprints: Fingerprints) -> Self {
        let mut dedup = Self::new(gap_notice, fingerprints);
        dedup.upstream_id = log.source_id_at(log.end()).clone();
        dedup.shown_id = log.id_at(log.end()).clone();
        dedup.event_count = log.events_until(log.end());
        dedup
    }

    /// The last completed id that the upstream itself sent, for its `Last-Event-ID`.
    pub fn upstream_id(&self) -> Option<EventId> {
        (!self.upstream_id.is_empty()).then(|| self.upstream_id.clone())
    }

    /// A new connection after an earlier one; `is_continued`: the upstream has said that it goes on without a gap.
    pub fn reconnected(&mut self, is_continued: bool) {
        self.replay = if is_continued { ReplayState::None } else { ReplayState::Expected };
        self.repeated_id = None;
    }

    /// Takes what the upstream said, in order. `log` is the stream's, without these items.
    pub fn accept(&mut self, items: Vec<Item>, log: &EventLog, minter: &IdMinter, now: Instant) -> AcceptedItems {
        let mut accepted = AcceptedItems::default();
        for item in items {
            match item {
                Item::Retry(retry) => {
                    accepted.retry = Some(retry);
                    let mut encoder = Encoder::new();
                    encoder.retry(retry);
                    accepted.entries.push(self.control_entry(encoder.finish(), now));
                }
                Item::Id(id) => self.accept_id(id, log, minter, now, &mut accepted),
                Item::Event(event) => self.accept_event(event, log, minter, now, &mut accepted),
                Item::Skipped(id) => self.accept_oversized(id, log, minter, now, &mut accepted),
                Item::Comment(verdict) => self.accept_verdict(&verdict, log, now, &mut accepted),
            }
        }
        accepted
    }

    /// An upstream that is a rillgate tells what became of its own continuity.
    fn accept_verdict(&mut self, verdict: &str, log: &EventLog, now: Instant, accepted: &mut AcceptedItems) {
        // What is being repeated had its gaps told when it came first.
        let is_repeating = matches!(self.replay, ReplayState::Repeating(next) if next_event(log, next).is_some());
        if verdict.starts_with("gap") && !is_repeating {
            self.replay = ReplayState::None;
            self.add_gap(Gap::Upstream, now, accepted);
        } else if verdict.starts_with("resumed") && self.replay == ReplayState::Expected {
            self.replay = ReplayState::None;
        }
    }

    /// An event was too large to be read. It counts as completed all the same: who asks for it again gets it again.
    fn accept_oversized(
        &mut self,
        id: Option<EventId>,
        log: &EventLog,
        minter: &IdMinter,
        now: Instant,
        accepted: &mut AcceptedItems,
    ) {
        let is_old = match self.replay {
            ReplayState::None => false,
            ReplayState::Repeating(next) => next_event(log, next).is_some(),
            // The place that was asked for: it goes on there.
            ReplayState::Expected if id.as_ref() == Some(&self.upstream_id) && !self.upstream_id.is_empty() => {
                self.replay = ReplayState::None;
                return;
            }
            // One that was never here is new, one without a name shows no place: the next event decides.
            ReplayState::Expected => id.as_ref().is_none_or(|id| log.lookup(id.as_str()) != IdLookup::Unknown),
        };
        if is_old {
            self.repeated_id = id.or_else(|| self.repeated_id.take());
            return;
        }
        (self.replay, self.repeated_id) = (ReplayState::None, None);
        self.add_gap(Gap::TooLarge, now, accepted);
        if let Some(id) = id.clone() {
            self.upstream_id = id;
            self.show_id(minter, now, accepted);
        }
        accepted.oversized.push(id);
    }

    /// Before the first event of all: an earlier attempt may have cost some, and nothing can prove that it did not.
    pub fn initial_gap(&self, now: Instant) -> Entry {
        self.gap_entry(Gap::Upstream, now)
    }

    fn add_gap(&self, gap: Gap, now: Instant, accepted: &mut AcceptedItems) {
        accepted.gaps.push(gap);
        accepted.entries.push(self.gap_entry(gap, now));
    }

    fn accept_id(
        &mut self,
        id: EventId,
        log: &EventLog,
        minter: &IdMinter,
        now: Instant,
        accepted: &mut AcceptedItems,
    ) {
        match self.replay {
            // The upstream names the place we asked for before anything else: it goes on there.
            ReplayState::Expected if self.repeated_id.is_none() && id == self.upstream_id && !id.is_empty() => {
                self.replay = ReplayState::None;
            }
            ReplayState::Expected => self.repeated_id = Some(id),
            ReplayState::Repeating(next) if next_event(log, next).is_some() => self.repeated_id = Some(id),
            ReplayState::Repeating(_) | ReplayState::None => {
                self.replay = ReplayState::None;
                self.repeated_id = None;
                self.upstream_id = id;
                self.show_id(minter, now, accepted);
            }
        }
    }

    fn show_id(&mut self, minter: &IdMinter, now: Instant, accepted: &mut AcceptedItems) {
        // Where events without an id are given one, there is always an id in force and it is not to be accepted back.
        if minter.passes_through(&self.upstream_id) && self.shown_id != self.upstream_id {
            self.shown_id = self.upstream_id.clone();
            let mut encoder = Encoder::new();
            encoder.id(&self.shown_id).blank_line();
            accepted.entries.push(self.control_entry(encoder.finish(), now));
        }
    }

    fn accept_event(
        &mut self,
        mut event: Event,
        log: &EventLog,
        minter: &IdMinter,
        now: Instant,
        accepted: &mut AcceptedItems,
    ) {
        let has_own_id = event.id.as_ref().is_some_and(|id| !id.is_empty());
        let fingerprint = self.fingerprints.event(&event);
        if self.is_replayed(fingerprint, has_own_id, log, now, accepted) {
            self.repeated_id = event.id.or_else(|| self.repeated_id.take());
            return;
        }
        match (&event.id, self.repeated_id.take()) {
            (Some(id), _) => self.upstream_id = id.clone(),
            (None, Some(id)) => {
                self.upstream_id = id;
                self.show_id(minter, now, accepted);
            }
            (None, None) => {}
        }
        self.event_count += 1;
        if let Some(minted) = minter.mint(self.event_count, has_own_id) {
            event.id = Some(minted);
        }
        if let Some(id) = &event.id {
            self.shown_id = id.clone();
        }
        accepted.events += 1;
        accepted.entries.push(Entry {
            frame: Frame::from(&event),
            id: self.shown_id.clone(),
            source_id: self.upstream_id.clone(),
            kind: EntryKind::Event {
                fingerprint,
                has_own_id,
                type_fingerprint: self.fingerprints.event_type(&event.kind),
            },
            at: now,
        });
    }

    /// Whether the log already has this event; tells a gap when it turns out that nothing proves there is none.
    fn is_replayed(
        &mut self,
        fingerprint: u64,
        has_own_id: bool,
        log: &EventLog,
        now: Instant,
        accepted: &mut AcceptedItems,
    ) -> bool {
        let expected = match self.replay {
            ReplayState::None => return false,
            // An event without an id of its own may well happen twice: only a named one shows where we are.
            ReplayState::Expected => {
                let known = has_own_id.then(|| log.find_event(fingerprint)).flatten();
                if known.is_none() && has_own_id && log.has_evicted(fingerprint) {
                    // The repetition begins before the log; it has still to show that it reaches it.
                    return true;
                }
                known
            }
            ReplayState::Repeating(next) => match next_event(log, next) {
                // The repetition reached the log's end: what comes now is new, and nothing was missed.
                None => {
                    self.replay = ReplayState::None;
                    return false;
                }
                Some((offset, known)) => (known == fingerprint).then_some(offset),
            },
        };
        match expected {
            Some(offset) => {
                self.replay = ReplayState::Repeating(Offset(offset.0 + 1));
                true
            }
            None => {
                self.replay = ReplayState::None;
                self.add_gap(Gap::Upstream, now, accepted);
                false
            }
        }
    }

    /// Names the end of a stream that is complete, where no client's id does: events without an id of their own stand under
    /// the last one, and who has that may lack them. Dispatches nothing; who has read all comes back with this id, and is
    /// told that nothing follows. Where no id was ever given, none is.
    pub fn end_marker(&mut self, log: &EventLog, minter: &IdMinter, now: Instant) -> Option<Entry> {
        let is_named = log.lookup(self.shown_id.as_str()) == IdLookup::Found(log.end());
        if self.shown_id.is_empty() || is_named {
            return None;
        }
        self.shown_id = minter.format_id(self.event_count + 1);
        let mut encoder = Encoder::new();
        encoder.id(&self.shown_id).blank_line();
        Some(self.control_entry(encoder.finish(), now))
    }

    fn control_entry(&self, frame: Frame, now: Instant) -> Entry {
        let (id, source_id) = (self.shown_id.clone(), self.upstream_id.clone());
        Entry { frame, id, source_id, kind: EntryKind::Control, at: now }
    }

    /// Where the route tells nothing in-band, a comment without a word stands for it: the log knows it all the same.
    fn gap_entry(&self, gap: Gap, now: Instant) -> Entry {
        let told = (self.gap_notice)(ResumeVerdict::Gap(gap), &self.shown_id);
        let frame = told.unwrap_or_else(|| {
            let mut encoder = Encoder::new();
            encoder.comment("");
            encoder.finish()
        });
        Entry { kind: EntryKind::Gap(gap), ..self.control_entry(frame, now) }
    }
}

/// The first event at or after a place, asides passed over.
fn next_event(log: &EventLog, from: Offset) -> Option<(Offset, u64)> {
    let entries = log.entries_from(from, 0).ok()?;
    entries.zip(from.0..).find_map(|(entry, offset)| match entry.kind {
        EntryKind::Event { fingerprint, .. } => Some((Offset(offset), fingerprint)),
        EntryKind::Control | EntryKind::Gap(_) => None,
    })
}

#[cfg(test)]
mod tests;
