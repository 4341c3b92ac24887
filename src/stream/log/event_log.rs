//! The event log: the bounded recent past of one stream, which replay and live delivery both read.
//!
//! Offsets are contiguous and never reused; eviction moves the start, appending moves the end. Every entry knows the id
//! in force after it, so that a position always has an id. Pure: the time comes in, nothing goes out, nobody waits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use super::entry::{Entry, EntryKind};
use super::offset::{IdLookup, Lagged, Offset};
use super::policy::Retention;
use super::recent_hashes::RecentHashes;
use super::snapshot::LogSnapshot;
use super::verdict::Gap;
use crate::sse::EventId;

/// The bounded recent past of one stream.
#[derive(Debug)]
pub struct EventLog {
    slots: VecDeque<LogSlot>,
    /// Offset of the oldest entry kept; the end if there is none.
    start: u64,
    /// Events (not entries) before the oldest entry kept.
    events_before: u64,
    /// Events appended in the whole life.
    total_events: u64,
    bytes: usize,
    /// About what it takes of memory.
    weight: usize,
    /// The id in force before the oldest entry kept.
    id_before_start: EventId,
    /// The upstream's own id in force before the oldest entry kept.
    source_id_before_start: EventId,
    /// Whether events have been evicted that came under `id_before` after the entry that brought it.
    is_run_truncated: bool,
    /// Whether the entry that brought `id_before` was the newest one evicted, and the only one ever to bring it: then
    /// who has that id lacks exactly what is kept.
    is_start_exact: bool,
    /// Fingerprint of the newest entry evicted, if it was an event that the upstream named itself.
    fingerprint_before_start: Option<u64>,
    /// By the name that a header can carry.
    occurrences: HashMap<EventId, Occurrences>,
    /// Where continuity broke, oldest first.
    gaps: VecDeque<(u64, Gap)>,
    evicted_ids: RecentHashes,
    /// Fingerprints of evicted events that the upstream named itself.
    evicted_events: RecentHashes,
    retention: Retention,
}

#[derive(Debug)]
struct LogSlot {
    entry: Entry,
    /// Events appended before this entry.
    events_before: u64,
    /// The next entry with the same id: occurrences are a list through the log, so that eviction is O(1).
    next_with_id: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Occurrences {
    oldest: u64,
    newest: u64,
    /// Whether an earlier run of the same id has been evicted.
    is_repeated: bool,
}

impl EventLog {
    /// An empty log.
    pub fn new(retention: Retention) -> Self {
        Self::at(Offset::default(), retention)
    }

    /// An empty log whose first place is this one.
    pub fn at(start: Offset, retention: Retention) -> Self {
        Self {
            slots: VecDeque::new(),
            start: start.0,
            events_before: 0,
            total_events: 0,
            bytes: 0,
            weight: 0,
            id_before_start: EventId::default(),
            source_id_before_start: EventId::default(),
            is_run_truncated: false,
            is_start_exact: false,
            fingerprint_before_start: None,
            occurrences: HashMap::new(),
            gaps: VecDeque::new(),
            evicted_ids: RecentHashes::new(retention.events),
            evicted_events: RecentHashes::new(retention.events),
            retention,
        }
    }

    /// Puts the past before everything that is to come: it ends where the empty log began, so that a reader who came
    /// before it stands after it. What the bounds do not allow is evicted.
    pub fn restore(&mut self, past: LogSnapshot, now: Instant) {
        assert!(self.slots.is_empty() && self.total_events == 0, "a past is put before a log that has none");
        self.start = self.start.checked_sub(past.entries.len() as u64).expect("a log with a past begins high");
        (self.events_before, self.total_events) = (past.events_before, past.events_before);
        // Else the cut may be within a run of events under one id: to be told a gap is right.
        self.is_run_truncated = !past.is_exact && !past.id_before.is_empty();
        self.is_start_exact = past.is_exact;
        (self.id_before_start, self.source_id_before_start) = (past.id_before, past.source_id_before);
        for entry in past.entries {
            self.append(entry);
        }
        self.expire(now);
    }

    /// The place before the oldest entry kept.
    pub fn start(&self) -> Offset {
        Offset(self.start)
    }

    /// The place after the newest entry.
    pub fn end(&self) -> Offset {
        Offset(self.start + self.slots.len() as u64)
    }

    /// Events kept (asides are not counted).
    pub fn events(&self) -> usize {
        usize::try_from(self.total_events - self.events_before).expect("what is kept fits in memory")
    }

    /// Encoded bytes kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// About what it takes of memory, in bytes: frames, ids, and what there is around each.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Evicts the oldest entries until it takes no more of memory than this.
    pub fn shrink_to(&mut self, most: usize) {
        while self.weight > most && !self.slots.is_empty() {
            self.evict();
        }
    }

    /// Adds the newest entry, evicts what is over the bounds, and returns the new end.
    pub fn append(&mut self, entry: Entry) -> Offset {
        let offset = self.end().0;
        let name = index_key(&entry.id);
        if !name.is_empty() {
            let seen = self.occurrences.get_mut(&name);
            if let Some(seen) = seen {
                let newest = std::mem::replace(&mut seen.newest, offset);
                self.slots[usize::try_from(newest - self.start).expect("an occurrence is kept")].next_with_id =
                    Some(offset);
            } else {
                self.occurrences.insert(name, Occurrences { oldest: offset, newest: offset, is_repeated: false });
            }
        }
        if let EntryKind::Gap(gap) = entry.kind {
            self.gaps.push_back((offset, gap));
        }
        let now = entry.at;
        self.bytes += entry.frame.len();
        self.weight += entry.weight();
        let events_before = self.total_events;
        self.total_events += u64::from(entry.is_event());
        self.slots.push_back(LogSlot { entry, events_before, next_with_id: None });
        self.expire(now);
        self.end()
    }

    /// Evicts what is over the bounds at this time. The newest entry is evicted for its age alone.
    pub fn expire(&mut self, now: Instant) {
        while let Some(oldest) = self.slots.front() {
            let too_old = now.saturating_duration_since(oldest.entry.at) > self.retention.age;
            let too_much = self.bytes > self.retention.bytes || self.events() > self.retention.events;
            // Asides are bounded by the count as well: a stream of ids alone must not grow for ever.
            let too_many = self.slots.len() > self.retention.events.saturating_mul(2);
            if too_old || (self.slots.len() > 1 && (too_much || too_many)) {
                self.evict();
            } else {
                break;
            }
        }
    }

    fn evict(&mut self) {
        let Some(LogSlot { entry, next_with_id, .. }) = self.slots.pop_front() else { return };
        let (name, name_before) = (index_key(&entry.id), index_key(&self.id_before_start));
        let mut is_repeated = name.is_empty();
        if !name.is_empty() {
            let seen = self.occurrences.get_mut(&name).expect("what is kept is indexed");
            match next_with_id {
                Some(next) => {
                    seen.oldest = next;
                    // Events without an id of their own follow at once and are of the same run.
                    seen.is_repeated |= next != self.start + 1;
                    is_repeated = seen.is_repeated;
                }
                None => {
                    is_repeated = seen.is_repeated || self.evicted_ids.contains_id(name.as_str());
                    self.occurrences.remove(&name);
                    self.evicted_ids.add_id(&name);
                }
            }
        }
        if let EntryKind::Gap(_) = entry.kind {
            self.gaps.pop_front();
        }
        self.fingerprint_before_start = entry.named_fingerprint();
        if let Some(fingerprint) = self.fingerprint_before_start {
            self.evicted_events.add(fingerprint);
        }
        // Who has the id of an evicted run has not read all of it for sure, and what was said after it may have been a
        // gap: only the entry that brought the id, and nothing after it, may be missing.
        self.is_start_exact = name != name_before && !is_repeated;
        self.start += 1;
        self.bytes -= entry.frame.len();
        self.weight -= entry.weight();
        self.events_before += u64::from(entry.is_event());
        self.is_run_truncated = name == name_before && (self.is_run_truncated || entry.is_event());
        self.id_before_start = entry.id;
        self.source_id_before_start = entry.source_id;
    }

    /// Where `id` stands. O(1). Spaces and tabs around an id are no part of it here: HTTP takes them away from a header's
    /// value (RFC 9110, 5.5), and a client that has seen them cannot bring them back.
    ///
    /// Events without an id of their own stand under the last one, so an id may name a run of entries. Who has read the
    /// first of a run that the log's start cuts has not read the others: its place is the start, or gone with them.
    pub fn lookup(&self, id: &str) -> IdLookup {
        let id = trim_id(id);
        let is_before = !id.is_empty() && trim_id(self.id_before_start.as_str()) == id;
        match self.occurrences.get(id) {
            Some(seen) if seen.oldest == self.start && is_before => match self.is_run_truncated {
                true => IdLookup::Evicted,
                false => IdLookup::Found(self.start()),
            },
            Some(seen) => IdLookup::Found(Offset(seen.oldest + 1)),
            // The newest of what was evicted: all that came after it is still here.
            None if self.is_start_exact && is_before => IdLookup::Found(self.start()),
            None if self.evicted_ids.contains_id(id) => IdLookup::Evicted,
            None => IdLookup::Unknown,
        }
    }

    /// The place from which the newest `count` events follow.
    pub fn start_of_newest(&self, count: usize) -> Offset {
        let wanted = self.total_events.saturating_sub(count as u64);
        let skipped = self.slots.partition_point(|kept| kept.events_before < wanted);
        Offset(self.start + skipped as u64)
    }

    /// The id in force at a place that is still in the log.
    pub fn id_at(&self, at: Offset) -> &EventId {
        self.before(at).map_or(&self.id_before_start, |entry| &entry.id)
    }

    /// The upstream's own id in force at a place that is still in the log.
    pub fn source_id_at(&self, at: Offset) -> &EventId {
        self.before(at).map_or(&self.source_id_before_start, |entry| &entry.source_id)
    }

    /// Whether who has the id in force at a place lacks exactly what follows it: the entry before the place brought that
    /// id, and none before it did.
    pub fn is_exact_at(&self, at: Offset) -> bool {
        let id = trim_id(self.id_at(at).as_str());
        let is_first =
            !self.evicted_ids.contains_id(id) && self.occurrences.get(id).is_some_and(|seen| !seen.is_repeated);
        if at == self.start() { self.is_start_exact } else { is_first && self.lookup(id) == IdLookup::Found(at) }
    }

    /// The entry that ends at a place.
    fn before(&self, at: Offset) -> Option<&Entry> {
        let index = at.0.checked_sub(self.start + 1)?;
        Some(&self.slots.get(usize::try_from(index).ok()?)?.entry)
    }

    /// How many events follow a place.
    pub fn events_after(&self, at: Offset) -> u64 {
        let index = at.0.saturating_sub(self.start);
        match usize::try_from(index).ok().and_then(|index| self.slots.get(index)) {
            Some(kept) => self.total_events - kept.events_before,
            None => 0,
        }
    }

    /// How many events came before a place, in the stream's whole life.
    pub fn events_until(&self, at: Offset) -> u64 {
        self.total_events - self.events_after(at)
    }

    /// The first break of continuity after a place.
    pub fn gap_after(&self, at: Offset) -> Option<Gap> {
        let passed = self.gaps.partition_point(|(offset, _)| *offset < at.0);
        self.gaps.get(passed).map(|(_, gap)| *gap)
    }

    /// The entries from a place on, oldest first.
    ///
    /// # Errors
    /// [`Lagged`] when some of them are gone; `read` says how many events the reader has had.
    pub fn entries_from(&self, at: Offset, read: u64) -> Result<impl Iterator<Item = &Entry>, Lagged> {
        match at.0.checked_sub(self.start) {
            Some(index) => {
                let index = usize::try_from(index).unwrap_or(usize::MAX).min(self.slots.len());
                Ok(self.slots.range(index..).map(|kept| &kept.entry))
            }
            None => Err(Lagged { missed: self.events_before.saturating_sub(read) }),
        }
    }

    /// Where the newest event of each type stands, from a place on, oldest first. The log's newest event is among them.
    pub fn newest_of_each_type(&self, at: Offset) -> Vec<Offset> {
        let from = usize::try_from(at.0.saturating_sub(self.start)).unwrap_or(usize::MAX).min(self.slots.len());
        let mut seen = HashSet::new();
        let mut newest: Vec<_> = (from..self.slots.len())
            .rev()
            .filter(|&index| match self.slots[index].entry.kind {
                EntryKind::Event { type_fingerprint, .. } => seen.insert(type_fingerprint),
                EntryKind::Control | EntryKind::Gap(_) => false,
            })
            .map(|index| Offset(self.start + index as u64))
            .collect();
        newest.reverse();
        newest
    }

    /// The newest entry that the upstream named itself and that has this fingerprint.
    pub fn find_event(&self, wanted: u64) -> Option<Offset> {
        let index = self.slots.iter().rposition(|kept| kept.entry.named_fingerprint() == Some(wanted))?;
        Some(Offset(self.start + index as u64))
    }

    /// The kept events that the upstream named `id` and that have this fingerprint, oldest first. Of very many entries
    /// under one id, only the oldest are looked at.
    pub fn events_with_id(&self, id: &str, wanted: u64) -> impl Iterator<Item = Offset> {
        let kept = |offset: u64| &self.slots[usize::try_from(offset - self.start).expect("an occurrence is kept")];
        let first = self.occurrences.get(trim_id(id)).map(|seen| seen.oldest);
        std::iter::successors(first, move |&offset| kept(offset).next_with_id)
            .take(ENTRIES_PER_ID)
            .filter(move |&offset| kept(offset).entry.named_fingerprint() == Some(wanted))
            .map(Offset)
    }

    /// The place after the event that the upstream named `id` and that has this fingerprint, if everything after it is
    /// here. `None` also when there was more than one such event: then it shows no place.
    pub fn offset_after_event(&self, id: &str, wanted: u64) -> Option<Offset> {
        let mut namesakes = self.events_with_id(id, wanted);
        match (namesakes.next(), namesakes.next()) {
            (Some(only), None) if !self.has_evicted(wanted) => Some(Offset(only.0 + 1)),
            (None, _) if self.fingerprint_before_start == Some(wanted) => Some(self.start()),
            _ => None,
        }
    }

    /// Whether everything that has been evicted of what came after a place would be known next_with_id.
    pub fn remembers_evicted_since(&self, at: Offset) -> bool {
        self.start.saturating_sub(at.0) <= self.evicted_events.capacity() as u64
    }

    /// Whether an event with this fingerprint, named by the upstream itself, was here and has been evicted.
    pub fn has_evicted(&self, fingerprint: u64) -> bool {
        self.evicted_events.contains(fingerprint)
    }

    /// The oldest and newest id kept.
    pub fn id_range(&self) -> Option<(&EventId, &EventId)> {
        Some((&self.slots.front()?.entry.id, &self.slots.back()?.entry.id))
    }
}

/// An id without the spaces and tabs around it.
fn trim_id(id: &str) -> &str {
    id.trim_matches([' ', '\t'])
}

/// The same as an id; nearly all are their own.
fn index_key(id: &EventId) -> EventId {
    match trim_id(id.as_str()) {
        name if name.len() == id.as_str().len() => id.clone(),
        name => EventId::new(name).expect("a part of an id is one"),
    }
}

/// How many entries under one id are looked at for an event.
const ENTRIES_PER_ID: usize = 1024;

#[cfg(test)]
mod tests;
