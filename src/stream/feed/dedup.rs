//! The step between the upstream and the log: assigns ids, removes repetitions after a reconnect, and detects gaps.
//!
//! Within one connection nothing is removed. After a reconnect, the upstream may repeat events that the log already has
//! (same id, type and data, contiguous up to the log's end). They are removed, and they prove that nothing was missed.
//! Without such a proof the clients are told of a gap. Pure, except that it reads the log.

use std::time::{Duration, Instant};

use super::id_minter::IdMinter;
use super::source::Continuity;
use crate::sse::{Encoder, Event, EventId, Frame, Item};
use crate::stream::log::{Entry, EntryKind, EventLog, Fingerprints, Gap, GapNotice, IdLookup, Offset};
use crate::stream::progress::MIN_RETRY;

/// The state of one stream's deduplication. Lives across upstream connections.
#[derive(Debug)]
pub(super) struct ReconnectDedup {
    /// The upstream's own last event id. The gateway sends nothing else in its `Last-Event-ID`.
    upstream_id: EventId,
    /// The upstream's id before its last event with an id. Empty if there is none.
    id_before_last: EventId,
    /// True if no event without an id came between `id_before_last` and the last event with an id.
    is_last_next: bool,
    /// True if no event without an id has come since the upstream's last id.
    is_id_newest: bool,
    /// Set if this connection was asked for the last event again: the offset of the events that it should repeat first,
    /// as far as the log still has them.
    overlap: Option<Offset>,
    /// The last event id of the clients.
    shown_id: EventId,
    /// The number of events so far, which minted ids count.
    event_count: u64,
    fingerprints: Fingerprints,
    replay: ReplayState,
    /// The id that this connection is at while it may be repeating the log. Neither sent upstream nor shown to clients:
    /// both ids stay at the log's end until something new arrives.
    repeated_id: Option<EventId>,
    /// The gap that the upstream has stated on this connection before its first event.
    stated_gap: Option<Gap>,
    /// The gaps at the log's end that the upstream may state again on this connection, the next one last.
    known_gaps: Vec<Gap>,
    gap_notice: GapNotice,
}

/// The state of the transition from the last connection to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplayState {
    /// Continuity is proven, or there is nothing to prove.
    None,
    /// The next event decides.
    Expected,
    /// The upstream repeats the log. Its next event should equal the entry at this offset.
    Repeating(Offset),
}

/// The result of accepting a batch of items.
#[derive(Debug, Default)]
pub(super) struct AcceptedItems {
    /// The entries to publish.
    pub entries: Vec<Entry>,
    /// The number of events among them.
    pub events: u64,
    /// The reconnection time that the upstream sent, if any. At least [`MIN_RETRY`].
    pub retry: Option<Duration>,
    /// The gaps among the entries.
    pub gaps: Vec<Gap>,
    /// The ids of events that were left out because they were too large.
    pub oversized: Vec<Option<EventId>>,
}

impl ReconnectDedup {
    /// Creates the state of a stream with an empty log. `fingerprints` must be the stream's.
    pub(super) fn new(gap_notice: GapNotice, fingerprints: Fingerprints) -> Self {
        Self {
            upstream_id: EventId::default(),
            id_before_last: EventId::default(),
            is_last_next: false,
            is_id_newest: false,
            overlap: None,
            shown_id: EventId::default(),
            event_count: 0,
            fingerprints,
            replay: ReplayState::None,
            repeated_id: None,
            stated_gap: None,
            known_gaps: Vec::new(),
            gap_notice,
        }
    }

    /// Creates the state of a restored stream, as if it had accepted everything in the log.
    pub(super) fn restored_from(log: &EventLog, gap_notice: GapNotice, fingerprints: Fingerprints) -> Self {
        let mut dedup = Self::new(gap_notice, fingerprints);
        dedup.upstream_id = log.source_id_at(log.end()).clone();
        dedup.id_before_last = log.source_id_before_newest_event().cloned().unwrap_or_default();
        dedup.shown_id = log.id_at(log.end()).clone();
        dedup.event_count = log.events_until(log.end());
        dedup
    }

    /// Sets the encoder of gaps to come.
    pub(super) fn set_gap_notice(&mut self, gap_notice: GapNotice) {
        self.gap_notice = gap_notice;
    }

    /// Returns the last completed id that the upstream itself sent.
    pub(super) fn upstream_id(&self) -> Option<EventId> {
        (!self.upstream_id.is_empty()).then(|| self.upstream_id.clone())
    }

    /// Returns the id after which the next connection begins: the upstream's last one. If `can_overlap` allows the one
    /// before the last event, it is that one, so that the upstream proves continuity by sending this event again. Events
    /// without an id between the two are sent again as well, so the log must still have all of them.
    pub(super) fn id_to_request(&mut self, log: &EventLog, can_overlap: impl Fn(&EventId) -> bool) -> Option<EventId> {
        self.overlap = None;
        self.known_gaps = log.gaps_at_end(&self.upstream_id);
        let (last, before) = (self.upstream_id()?, &self.id_before_last);
        if before.is_empty() || *before == last || !can_overlap(before) {
            return Some(last);
        }
        self.overlap = log.offset_after_source_id(before).or_else(|| self.is_last_next.then(|| log.end()));
        Some(if self.overlap.is_some() { before.clone() } else { last })
    }

    /// Starts a new connection after an earlier one. Even an upstream that states a gap may prove continuity by repeating
    /// events, and one that continues after the id before the last event still has to send this event.
    pub(super) fn reconnected(&mut self, continuity: Continuity) {
        self.replay = match continuity {
            Continuity::Continued if self.overlap.is_none() => ReplayState::None,
            Continuity::Continued | Continuity::Gap | Continuity::Unknown => ReplayState::Expected,
        };
        (self.repeated_id, self.stated_gap) = (None, None);
    }

    /// Accepts items in order. `log` is the stream's log without these items.
    pub(super) fn accept(
        &mut self,
        items: Vec<Item>,
        log: &EventLog,
        minter: &IdMinter,
        now: Instant,
    ) -> AcceptedItems {
        let mut accepted = AcceptedItems::default();
        for item in items {
            match item {
                Item::Retry(retry) => {
                    let retry = retry.max(MIN_RETRY);
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

    /// Accepts an event that was too large to read. Its id counts as completed, or the upstream would send it again.
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
            // The gap of an event that was too large is repeated with it.
            ReplayState::Repeating(next) => {
                let is_last = id.as_ref() == Some(&self.upstream_id) && log.gap_after(next) == Some(Gap::TooLarge);
                log.next_event(next).is_some() || is_last
            }
            // It is the event with the id that was sent upstream, so the upstream continues after it.
            ReplayState::Expected if id.as_ref() == Some(&self.upstream_id) && !self.upstream_id.is_empty() => {
                self.replay = ReplayState::None;
                return;
            }
            // An unknown id is new. An event without an id shows no position, so the next event decides.
            ReplayState::Expected => id.as_ref().is_none_or(|id| log.lookup(id.as_str()) != IdLookup::Unknown),
        };
        if is_old {
            self.repeated_id = id.or_else(|| self.repeated_id.take());
            return;
        }
        (self.replay, self.repeated_id) = (ReplayState::None, None);
        self.add_gap(Gap::TooLarge, now, accepted);
        if let Some(id) = id.clone() {
            self.begin_id(id);
            self.show_id(minter, now, accepted);
        }
        accepted.oversized.push(id);
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
            // The upstream first repeats the id that was sent, so it continues after it.
            ReplayState::Expected if self.repeated_id.is_none() && id == self.upstream_id && !id.is_empty() => {
                self.replay = ReplayState::None;
            }
            ReplayState::Expected => self.repeated_id = Some(id),
            ReplayState::Repeating(next) if log.next_event(next).is_some() => self.repeated_id = Some(id),
            ReplayState::Repeating(_) | ReplayState::None => {
                self.replay = ReplayState::None;
                self.repeated_id = None;
                self.begin_id(id);
                self.show_id(minter, now, accepted);
            }
        }
    }

    /// Puts an id of the upstream in force that came without an event.
    fn begin_id(&mut self, id: EventId) {
        (self.upstream_id, self.is_id_newest) = (id, true);
        self.known_gaps.clear();
    }

    fn show_id(&mut self, minter: &IdMinter, now: Instant, accepted: &mut AcceptedItems) {
        // With minted ids a client always has an id, and an empty one must not replace it.
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
        self.known_gaps.clear();
        match (&event.id, self.repeated_id.take()) {
            (Some(id), _) => {
                self.is_last_next = std::mem::replace(&mut self.is_id_newest, true);
                self.id_before_last = std::mem::replace(&mut self.upstream_id, id.clone());
            }
            (None, repeated) => {
                if let Some(id) = repeated {
                    self.upstream_id = id;
                    self.show_id(minter, now, accepted);
                }
                self.is_id_newest = false;
            }
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

    /// Returns true if the log already has this event. Adds a gap when it turns out that continuity cannot be proven.
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
            // Equal events without an id may be different events. Only one with an id shows a position, or one that
            // comes first where the upstream was asked to begin.
            ReplayState::Expected => {
                let first = || log.next_event(self.overlap?).filter(|(_, known)| *known == fingerprint);
                let known = match has_own_id {
                    true => log.find_event(fingerprint),
                    false => first().map(|(offset, _)| offset),
                };
                if known.is_none() && has_own_id && log.is_evicted_last(fingerprint) {
                    self.replay = ReplayState::Repeating(log.start());
                    return true;
                }
                if known.is_none() && has_own_id && log.has_evicted(fingerprint) {
                    // The repetition starts before the log's start and must still reach the log.
                    return true;
                }
                known
            }
            ReplayState::Repeating(next) => match log.next_event(next) {
                // The repetition has reached the log's end. This event is new, and nothing was missed.
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
                let gap = self.stated_gap.take().unwrap_or(Gap::Upstream);
                self.add_gap(gap, now, accepted);
                false
            }
        }
    }

    /// Returns a marker for the end of a complete stream, if no client has an id for it. Events without an id follow
    /// under the last id, and a client with that id may lack them. The marker sets a new id and dispatches nothing. A
    /// client that has read everything comes back with it and learns that nothing follows. Returns `None` if no id was
    /// ever assigned.
    pub(super) fn end_marker(&mut self, log: &EventLog, minter: &IdMinter, now: Instant) -> Option<Entry> {
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
}

mod gaps;
#[cfg(test)]
mod overlap_tests;
#[cfg(test)]
mod tests;
