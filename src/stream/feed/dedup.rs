//! From what the upstream says to what is appended: ids given, repetitions after a reconnect left out, gaps told.
//!
//! Within one upstream connection nothing is de-duplicated. After a reconnect, events that the log already has (same id,
//! type and data, contiguous up to its end) are left out, and they are the proof that nothing was missed; without proof
//! a gap is told. Pure, but for the log that is read.

use std::time::{Duration, Instant};

use super::id_minter::IdMinter;
use crate::sse::{Encoder, Event, EventId, Frame, Item};
use crate::stream::log::{Entry, EntryKind, EventLog, Fingerprints, Gap, GapNotice, IdLookup, Offset, ResumeVerdict};

/// The state of one stream's intake, across upstream connections.
#[derive(Debug)]
pub struct ReconnectDedup {
    /// The upstream's own id in force: all that it is ever asked to go on after.
    upstream_id: EventId,
    /// The id in force for clients.
    shown_id: EventId,
    /// Events so far: what minted ids count.
    number: u64,
    fingerprints: Fingerprints,
    overlap: RepeatCheck,
    /// What this connection has said its id is while it may be repeating the log. Not asked for and not shown: both stand
    /// at the log's end until something new comes.
    repeated_id: Option<EventId>,
    tell: GapNotice,
}

/// What is known about the seam between the last upstream connection and this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RepeatCheck {
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
    pub skipped: Vec<Option<EventId>>,
}

impl ReconnectDedup {
    /// For a stream without a past. `fingerprints` are the stream's.
    pub fn new(tell: GapNotice, fingerprints: Fingerprints) -> Self {
        Self {
            upstream_id: EventId::default(),
            shown_id: EventId::default(),
            number: 0,
            fingerprints,
            overlap: RepeatCheck::None,
            repeated_id: None,
            tell,
        }
    }

    /// For a stream with a past: as if this intake had taken what is in the log.
    pub fn after(log: &EventLog, tell: GapNotice, fingerprints: Fingerprints) -> Self {
        let mut intake = Self::new(tell, fingerprints);
        intake.upstream_id = log.source_id_at(log.end()).clone();
        intake.shown_id = log.id_at(log.end()).clone();
        intake.number = log.events_until(log.end());
        intake
    }

    /// The last completed id that the upstream itself sent, for its `Last-Event-ID`.
    pub fn upstream_id(&self) -> Option<EventId> {
        (!self.upstream_id.is_empty()).then(|| self.upstream_id.clone())
    }

    /// A new connection after an earlier one; `is_continued`: the upstream has said that it goes on without a gap.
    pub fn reconnected(&mut self, is_continued: bool) {
        self.overlap = if is_continued { RepeatCheck::None } else { RepeatCheck::Expected };
        self.repeated_id = None;
    }

    /// Takes what the upstream said, in order. `log` is the stream's, without these items.
    pub fn take(&mut self, items: Vec<Item>, log: &EventLog, minter: &IdMinter, now: Instant) -> AcceptedItems {
        let mut taken = AcceptedItems::default();
        for item in items {
            match item {
                Item::Retry(retry) => {
                    taken.retry = Some(retry);
                    let mut encoder = Encoder::new();
                    encoder.retry(retry);
                    taken.entries.push(self.aside(encoder.finish(), now));
                }
                Item::Id(id) => self.take_id(id, log, minter, now, &mut taken),
                Item::Event(event) => self.take_event(event, log, minter, now, &mut taken),
                Item::Skipped(id) => self.skip(id, log, minter, now, &mut taken),
                Item::Comment(verdict) => self.take_verdict(&verdict, log, now, &mut taken),
            }
        }
        taken
    }

    /// An upstream that is a rillgate tells what became of its own continuity.
    fn take_verdict(&mut self, verdict: &str, log: &EventLog, now: Instant, taken: &mut AcceptedItems) {
        // What is being repeated had its gaps told when it came first.
        let is_repeating = matches!(self.overlap, RepeatCheck::Repeating(next) if next_event(log, next).is_some());
        if verdict.starts_with("gap") && !is_repeating {
            self.overlap = RepeatCheck::None;
            self.tell(Gap::Upstream, now, taken);
        } else if verdict.starts_with("resumed") && self.overlap == RepeatCheck::Expected {
            self.overlap = RepeatCheck::None;
        }
    }

    /// An event was too large to be read. It counts as completed all the same: who asks for it again gets it again.
    fn skip(
        &mut self,
        id: Option<EventId>,
        log: &EventLog,
        minter: &IdMinter,
        now: Instant,
        taken: &mut AcceptedItems,
    ) {
        let is_old = match self.overlap {
            RepeatCheck::None => false,
            RepeatCheck::Repeating(next) => next_event(log, next).is_some(),
            // The place that was asked for: it goes on there.
            RepeatCheck::Expected if id.as_ref() == Some(&self.upstream_id) && !self.upstream_id.is_empty() => {
                self.overlap = RepeatCheck::None;
                return;
            }
            // One that was never here is new, one without a name shows no place: the next event decides.
            RepeatCheck::Expected => id.as_ref().is_none_or(|id| log.place(id.as_str()) != IdLookup::Unknown),
        };
        if is_old {
            self.repeated_id = id.or_else(|| self.repeated_id.take());
            return;
        }
        (self.overlap, self.repeated_id) = (RepeatCheck::None, None);
        self.tell(Gap::TooLarge, now, taken);
        if let Some(id) = id.clone() {
            self.upstream_id = id;
            self.show_id(minter, now, taken);
        }
        taken.skipped.push(id);
    }

    /// Before the first event of all: an earlier attempt may have cost some, and nothing can prove that it did not.
    pub fn missed(&self, now: Instant) -> Entry {
        self.gap(Gap::Upstream, now)
    }

    fn tell(&self, gap: Gap, now: Instant, taken: &mut AcceptedItems) {
        taken.gaps.push(gap);
        taken.entries.push(self.gap(gap, now));
    }

    fn take_id(&mut self, id: EventId, log: &EventLog, minter: &IdMinter, now: Instant, taken: &mut AcceptedItems) {
        match self.overlap {
            // The upstream names the place we asked for before anything else: it goes on there.
            RepeatCheck::Expected if self.repeated_id.is_none() && id == self.upstream_id && !id.is_empty() => {
                self.overlap = RepeatCheck::None;
            }
            RepeatCheck::Expected => self.repeated_id = Some(id),
            RepeatCheck::Repeating(next) if next_event(log, next).is_some() => self.repeated_id = Some(id),
            RepeatCheck::Repeating(_) | RepeatCheck::None => {
                self.overlap = RepeatCheck::None;
                self.repeated_id = None;
                self.upstream_id = id;
                self.show_id(minter, now, taken);
            }
        }
    }

    fn show_id(&mut self, minter: &IdMinter, now: Instant, taken: &mut AcceptedItems) {
        // Where events without an id are given one, there is always an id in force and it is not to be taken back.
        if minter.shows(&self.upstream_id) && self.shown_id != self.upstream_id {
            self.shown_id = self.upstream_id.clone();
            let mut encoder = Encoder::new();
            encoder.id(&self.shown_id).blank();
            taken.entries.push(self.aside(encoder.finish(), now));
        }
    }

    fn take_event(
        &mut self,
        mut event: Event,
        log: &EventLog,
        minter: &IdMinter,
        now: Instant,
        taken: &mut AcceptedItems,
    ) {
        let has_own_id = event.id.as_ref().is_some_and(|id| !id.is_empty());
        let fingerprint = self.fingerprints.event(&event);
        if self.is_repeated(fingerprint, has_own_id, log, now, taken) {
            self.repeated_id = event.id.or_else(|| self.repeated_id.take());
            return;
        }
        match (&event.id, self.repeated_id.take()) {
            (Some(id), _) => self.upstream_id = id.clone(),
            (None, Some(id)) => {
                self.upstream_id = id;
                self.show_id(minter, now, taken);
            }
            (None, None) => {}
        }
        self.number += 1;
        if let Some(minted) = minter.mint(self.number, has_own_id) {
            event.id = Some(minted);
        }
        if let Some(id) = &event.id {
            self.shown_id = id.clone();
        }
        taken.events += 1;
        taken.entries.push(Entry {
            frame: Frame::from(&event),
            id: self.shown_id.clone(),
            source_id: self.upstream_id.clone(),
            kind: EntryKind::Event { fingerprint, has_own_id, topic: self.fingerprints.topic(&event.kind) },
            at: now,
        });
    }

    /// Whether the log already has this event; tells a gap when it turns out that nothing proves there is none.
    fn is_repeated(
        &mut self,
        fingerprint: u64,
        has_own_id: bool,
        log: &EventLog,
        now: Instant,
        taken: &mut AcceptedItems,
    ) -> bool {
        let expected = match self.overlap {
            RepeatCheck::None => return false,
            // An event without an id of its own may well happen twice: only a named one shows where we are.
            RepeatCheck::Expected => {
                let known = has_own_id.then(|| log.find(fingerprint)).flatten();
                if known.is_none() && has_own_id && log.has_forgotten(fingerprint) {
                    // The repetition begins before the log; it has still to show that it reaches it.
                    return true;
                }
                known
            }
            RepeatCheck::Repeating(next) => match next_event(log, next) {
                // The repetition reached the log's end: what comes now is new, and nothing was missed.
                None => {
                    self.overlap = RepeatCheck::None;
                    return false;
                }
                Some((offset, known)) => (known == fingerprint).then_some(offset),
            },
        };
        match expected {
            Some(offset) => {
                self.overlap = RepeatCheck::Repeating(Offset(offset.0 + 1));
                true
            }
            None => {
                self.overlap = RepeatCheck::None;
                self.tell(Gap::Upstream, now, taken);
                false
            }
        }
    }

    /// Names the end of a stream that is complete, where no client's id does: events without an id of their own stand under
    /// the last one, and who has that may lack them. Dispatches nothing; who has read all comes back with this id, and is
    /// told that nothing follows. Where no id was ever given, none is.
    pub fn end_mark(&mut self, log: &EventLog, minter: &IdMinter, now: Instant) -> Option<Entry> {
        let is_named = log.place(self.shown_id.as_str()) == IdLookup::Here(log.end());
        if self.shown_id.is_empty() || is_named {
            return None;
        }
        self.shown_id = minter.id(self.number + 1);
        let mut encoder = Encoder::new();
        encoder.id(&self.shown_id).blank();
        Some(self.aside(encoder.finish(), now))
    }

    fn aside(&self, frame: Frame, now: Instant) -> Entry {
        let (id, source_id) = (self.shown_id.clone(), self.upstream_id.clone());
        Entry { frame, id, source_id, kind: EntryKind::Aside, at: now }
    }

    /// Where the route tells nothing in-band, a comment without a word stands for it: the log knows it all the same.
    fn gap(&self, gap: Gap, now: Instant) -> Entry {
        let told = (self.tell)(ResumeVerdict::Gap(gap), &self.shown_id);
        let frame = told.unwrap_or_else(|| {
            let mut encoder = Encoder::new();
            encoder.comment("");
            encoder.finish()
        });
        Entry { kind: EntryKind::Gap(gap), ..self.aside(frame, now) }
    }
}

/// The first event at or after a place, asides passed over.
fn next_event(log: &EventLog, from: Offset) -> Option<(Offset, u64)> {
    let entries = log.from(from, 0).ok()?;
    entries.zip(from.0..).find_map(|(entry, offset)| match entry.kind {
        EntryKind::Event { fingerprint, .. } => Some((Offset(offset), fingerprint)),
        EntryKind::Aside | EntryKind::Gap(_) => None,
    })
}

#[cfg(test)]
mod tests;
