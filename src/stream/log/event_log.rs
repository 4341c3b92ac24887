//! The event log: the recent past of one stream, read by replay and by live delivery.
//!
//! Offsets are contiguous and never reused. Appending moves the end, eviction moves the start. Every entry knows the id
//! in force after it, so every offset has an id. Pure: time comes in as a value, nothing waits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use super::entry::{Entry, EntryKind};
use super::id_index::{Occurrences, index_key, trim_id};
use super::offset::{IdLookup, Lagged, Offset};
use super::pinned_frames::PinnedFrames;
use super::policy::Retention;
use super::recent_hashes::RecentHashes;
use super::snapshot::LogSnapshot;
use super::verdict::Gap;
use crate::sse::EventId;

/// The log of one stream, bounded by count, bytes and age.
#[derive(Debug)]
pub struct EventLog {
    slots: VecDeque<LogSlot>,
    /// The offset of the oldest entry, or the end if the log is empty.
    start: u64,
    /// The number of events (not entries) before the start.
    events_before: u64,
    /// The number of events ever appended.
    total_events: u64,
    bytes: usize,
    /// The approximate memory of the entries, in bytes.
    weight: usize,
    pinned: PinnedFrames,
    /// The id in force at the start.
    id_before_start: EventId,
    /// The upstream's own id in force at the start.
    source_id_before_start: EventId,
    /// True if events have been evicted that followed the entry which introduced `id_before_start` under that same id.
    is_run_truncated: bool,
    /// True if events have been evicted that the upstream sends again after `source_id_before_start`.
    is_source_run_truncated: bool,
    /// True if the entry that introduced `id_before_start` was evicted last and was the only occurrence of that id: a
    /// client with that id lacks exactly the retained entries.
    is_start_exact: bool,
    /// The fingerprint of the entry that was evicted last, if it was an event with an id from the upstream.
    fingerprint_before_start: Option<u64>,
    /// Keyed by the trimmed id, as a header can carry it.
    occurrences: HashMap<EventId, Occurrences>,
    /// The breaks of continuity, oldest first.
    gaps: VecDeque<(u64, Gap)>,
    evicted_ids: RecentHashes,
    /// The fingerprints of evicted events with an id from the upstream.
    evicted_events: RecentHashes,
    retention: Retention,
}

#[derive(Debug)]
struct LogSlot {
    entry: Entry,
    /// The number of events appended before this entry.
    events_before: u64,
    /// The next entry with the same id. The entries of one id form a linked list, so eviction is O(1).
    next_with_id: Option<u64>,
}

impl EventLog {
    /// Creates an empty log.
    pub fn new(retention: Retention) -> Self {
        Self::at(Offset::default(), retention)
    }

    /// Creates an empty log that starts at `start`.
    pub fn at(start: Offset, retention: Retention) -> Self {
        Self {
            slots: VecDeque::new(),
            start: start.0,
            events_before: 0,
            total_events: 0,
            bytes: 0,
            weight: 0,
            pinned: PinnedFrames::default(),
            id_before_start: EventId::default(),
            source_id_before_start: EventId::default(),
            is_run_truncated: false,
            is_source_run_truncated: false,
            is_start_exact: false,
            fingerprint_before_start: None,
            occurrences: HashMap::new(),
            gaps: VecDeque::new(),
            evicted_ids: RecentHashes::new(retention.events),
            evicted_events: RecentHashes::new(retention.events),
            retention,
        }
    }

    /// Restores a stored log. Its end becomes the offset at which this empty log started, so a reader that is already
    /// attached stands after it. Entries beyond the bounds are evicted.
    ///
    /// # Panics
    ///
    /// If the log is not empty, or started too low for the stored entries.
    pub fn restore(&mut self, snapshot: LogSnapshot, now: Instant) {
        assert!(self.slots.is_empty() && self.total_events == 0, "only an empty log can be restored");
        self.start = self
            .start
            .checked_sub(snapshot.entries.len() as u64)
            .expect("a restorable log starts above any stored log");
        (self.events_before, self.total_events) = (snapshot.events_before, snapshot.events_before);
        // Otherwise the start may cut a run of events with one id, and a gap is the right answer.
        self.is_run_truncated = !snapshot.is_exact && !snapshot.id_before.is_empty();
        (self.is_start_exact, self.is_source_run_truncated) = (snapshot.is_exact, true);
        (self.id_before_start, self.source_id_before_start) = (snapshot.id_before, snapshot.source_id_before);
        for entry in snapshot.entries {
            self.append(entry);
        }
        self.expire(now);
    }

    /// Returns the bounds of the log.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// Returns the offset of the oldest entry.
    pub fn start(&self) -> Offset {
        Offset(self.start)
    }

    /// Returns the offset after the newest entry.
    pub fn end(&self) -> Offset {
        Offset(self.start + self.slots.len() as u64)
    }

    /// Returns the number of retained events. Control entries do not count.
    pub fn events(&self) -> usize {
        usize::try_from(self.total_events - self.events_before).expect("retained events fit in memory")
    }

    /// Returns the encoded bytes of the retained entries.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the approximate memory of the log, in bytes: frames, ids, overhead, and hashes of what was evicted.
    pub fn weight(&self) -> usize {
        self.weight + self.evicted_ids.weight() + self.evicted_events.weight()
    }

    /// Returns the bytes of evicted entries that readers still hold, as far as is known.
    pub fn pinned_bytes(&self) -> usize {
        self.pinned.bytes()
    }

    /// Forgets evicted entries that readers no longer hold.
    pub fn sweep_pinned(&mut self) {
        self.pinned.sweep();
    }

    /// Forgets those of the entries evicted since the last call that readers do not hold.
    pub fn sweep_evicted(&mut self) {
        self.pinned.sweep_recorded();
    }

    /// Evicts the oldest entries until the log takes at most `most` bytes of memory, or has only `kept` entries left.
    ///
    /// Remembers fewer evicted ids and events from then on, so that they take at most half of it.
    pub fn shrink_to(&mut self, most: usize, kept: usize) {
        if self.weight() <= most {
            return;
        }
        self.evicted_ids.shrink_to(most / 4, self.start);
        self.evicted_events.shrink_to(most / 4, self.start);
        while self.weight() > most && self.slots.len() > kept {
            self.evict();
        }
        // The tables of a log that was much larger are a large part of what is left of it.
        self.slots.shrink_to(2 * self.slots.len());
        self.occurrences.shrink_to(2 * self.occurrences.len());
    }

    /// Appends an entry, evicts entries beyond the bounds, and returns the new end.
    pub fn append(&mut self, entry: Entry) -> Offset {
        let offset = self.end().0;
        let name = index_key(&entry.id);
        if !name.is_empty() {
            let seen = self.occurrences.get_mut(&name);
            if let Some(seen) = seen {
                let newest = std::mem::replace(&mut seen.newest, offset);
                self.slots[usize::try_from(newest - self.start).expect("the index lists retained entries")]
                    .next_with_id = Some(offset);
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

    /// Evicts entries that are beyond the bounds at `now`. The newest entry is evicted only for its age.
    pub fn expire(&mut self, now: Instant) {
        while self.is_oldest_beyond(self.retention, now) {
            self.evict();
        }
    }

    /// Evicts at most `most` entries that are beyond `retention` at `now`. Returns true if none is left, and `retention`
    /// bounds the log from then on.
    pub fn retain(&mut self, retention: Retention, now: Instant, most: usize) -> bool {
        for _ in 0..most {
            if !self.is_oldest_beyond(retention, now) {
                break;
            }
            self.evict();
        }
        if self.is_oldest_beyond(retention, now) {
            return false;
        }
        if self.retention != retention {
            self.retention = retention;
            self.evicted_ids.resize(retention.events, self.start);
            self.evicted_events.resize(retention.events, self.start);
        }
        true
    }

    /// Returns true if the oldest entry is beyond these bounds at `now`.
    fn is_oldest_beyond(&self, retention: Retention, now: Instant) -> bool {
        let Some(oldest) = self.slots.front() else { return false };
        let too_old = now.saturating_duration_since(oldest.entry.at) > retention.age;
        let too_much = self.bytes > retention.bytes || self.events() > retention.events;
        // Control entries are bounded by the count too. Otherwise a stream of ids alone would grow without bound.
        let too_many = self.slots.len() > retention.events.saturating_mul(2);
        too_old || (self.slots.len() > 1 && (too_much || too_many))
    }

    fn evict(&mut self) {
        let Some(LogSlot { entry, next_with_id, .. }) = self.slots.pop_front() else { return };
        let (name, name_before) = (index_key(&entry.id), index_key(&self.id_before_start));
        let mut is_repeated = name.is_empty();
        if !name.is_empty() {
            let seen = self.occurrences.get_mut(&name).expect("retained ids are indexed");
            match next_with_id {
                Some(next) => {
                    seen.oldest = next;
                    // Events without an id of their own follow immediately and belong to the same run.
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
        // A client with the id of an evicted run may not have read all of the run, and a gap may have followed it. So
        // the start is exact only if the evicted entry introduced the id and nothing followed it under that id.
        self.is_start_exact = name != name_before && !is_repeated;
        self.start += 1;
        self.bytes -= entry.frame.len();
        self.weight -= entry.weight();
        self.events_before += u64::from(entry.is_event());
        self.is_run_truncated = name == name_before && (self.is_run_truncated || entry.is_event());
        self.is_source_run_truncated = self.truncates_source_run(&entry);
        self.pinned.record(entry.frame);
        self.id_before_start = entry.id;
        self.source_id_before_start = entry.source_id;
    }

    /// Returns the offset after the entry with this id. O(1). Spaces and tabs around an id are ignored: HTTP strips
    /// them from a field value (RFC 9110, section 5.5), so a client cannot send them back.
    ///
    /// Events without an id of their own follow under the last id, so one id may stand for a run of entries. If the
    /// log's start cuts a run, a client with its id may have read only the first entry of the run. It resumes at the
    /// start if no event of the run is lost; otherwise the id counts as evicted.
    pub fn lookup(&self, id: &str) -> IdLookup {
        let id = trim_id(id);
        let is_before = !id.is_empty() && trim_id(self.id_before_start.as_str()) == id;
        match self.occurrences.get(id) {
            Some(seen) if seen.oldest == self.start && is_before => match self.is_run_truncated {
                true => IdLookup::Evicted,
                false => IdLookup::Found(self.start()),
            },
            Some(seen) => IdLookup::Found(Offset(seen.oldest + 1)),
            // It was evicted last, and everything that followed it is still here.
            None if self.is_start_exact && is_before => IdLookup::Found(self.start()),
            None if self.evicted_ids.contains_id(id) => IdLookup::Evicted,
            None => IdLookup::Unknown,
        }
    }

    /// Returns the offset that is followed by the newest `count` events.
    pub fn start_of_newest(&self, count: usize) -> Offset {
        let wanted = self.total_events.saturating_sub(count as u64);
        let skipped = self.slots.partition_point(|slot| slot.events_before < wanted);
        Offset(self.start + skipped as u64)
    }

    /// Returns the id in force at an offset that is still in the log.
    pub fn id_at(&self, at: Offset) -> &EventId {
        self.before(at).map_or(&self.id_before_start, |entry| &entry.id)
    }

    /// Returns the upstream's own id in force at an offset that is still in the log.
    pub fn source_id_at(&self, at: Offset) -> &EventId {
        self.before(at).map_or(&self.source_id_before_start, |entry| &entry.source_id)
    }

    /// Returns true if a client with the id in force at this offset lacks exactly the entries after it: the entry
    /// before the offset introduced the id, and no earlier entry did.
    pub fn is_exact_at(&self, at: Offset) -> bool {
        let id = trim_id(self.id_at(at).as_str());
        let is_first =
            !self.evicted_ids.contains_id(id) && self.occurrences.get(id).is_some_and(|seen| !seen.is_repeated);
        if at == self.start() { self.is_start_exact } else { is_first && self.lookup(id) == IdLookup::Found(at) }
    }

    /// Returns the entry before an offset.
    fn before(&self, at: Offset) -> Option<&Entry> {
        let index = at.0.checked_sub(self.start + 1)?;
        Some(&self.slots.get(usize::try_from(index).ok()?)?.entry)
    }

    /// Returns the number of events after an offset.
    pub fn events_after(&self, at: Offset) -> u64 {
        let index = at.0.saturating_sub(self.start);
        match usize::try_from(index).ok().and_then(|index| self.slots.get(index)) {
            Some(slot) => self.total_events - slot.events_before,
            None => 0,
        }
    }

    /// Returns the number of events before an offset, from the beginning of the stream.
    pub fn events_until(&self, at: Offset) -> u64 {
        self.total_events - self.events_after(at)
    }

    /// Returns the first break of continuity after an offset.
    pub fn gap_after(&self, at: Offset) -> Option<Gap> {
        let passed = self.gaps.partition_point(|(offset, _)| *offset < at.0);
        self.gaps.get(passed).map(|(_, gap)| *gap)
    }

    /// Returns the entries from an offset on, oldest first. `read` is the number of events that the reader has read.
    ///
    /// # Errors
    ///
    /// [`Lagged`] if entries from that offset on have been evicted.
    pub fn entries_from(&self, at: Offset, read: u64) -> Result<impl Iterator<Item = &Entry>, Lagged> {
        match at.0.checked_sub(self.start) {
            Some(index) => {
                let index = usize::try_from(index).unwrap_or(usize::MAX).min(self.slots.len());
                Ok(self.slots.range(index..).map(|slot| &slot.entry))
            }
            None => Err(Lagged { missed: self.events_before.saturating_sub(read) }),
        }
    }

    /// Returns the offsets of the newest event of each type from `at` on, oldest first. The newest event of the log is
    /// among them.
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

    /// Returns the oldest and the newest retained id.
    pub fn id_range(&self) -> Option<(&EventId, &EventId)> {
        Some((&self.slots.front()?.entry.id, &self.slots.back()?.entry.id))
    }
}

mod repetitions;
#[cfg(test)]
mod tests;
