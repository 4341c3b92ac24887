//! Finds events that the upstream sends again, by the id that it gave them and by their fingerprint.

use super::super::id_index::trim_id;
use super::EventLog;
use crate::sse::EventId;
use crate::stream::log::entry::{Entry, EntryKind};
use crate::stream::log::offset::Offset;
use crate::stream::log::verdict::Gap;

impl EventLog {
    /// Returns the first event at or after an offset, and its fingerprint.
    pub fn next_event(&self, from: Offset) -> Option<(Offset, u64)> {
        let entries = self.entries_from(from, 0).ok()?;
        entries.zip(from.0..).find_map(|(entry, offset)| match entry.kind {
            EntryKind::Event { fingerprint, .. } => Some((Offset(offset), fingerprint)),
            EntryKind::Control | EntryKind::Gap(_) => None,
        })
    }

    /// Returns the offset of the newest event that has this fingerprint and an id from the upstream.
    pub fn find_event(&self, wanted: u64) -> Option<Offset> {
        let index = self.slots.iter().rposition(|slot| slot.entry.named_fingerprint() == Some(wanted))?;
        Some(Offset(self.start + index as u64))
    }

    /// Returns the offsets of the events with this fingerprint to which the upstream gave `id`, oldest first. Looks at
    /// no more than the oldest 1024 entries with that id.
    pub fn events_with_id(&self, id: &str, wanted: u64) -> impl Iterator<Item = Offset> {
        let slot =
            |offset: u64| &self.slots[usize::try_from(offset - self.start).expect("the index lists retained entries")];
        let first = self.occurrences.get(trim_id(id)).map(|seen| seen.oldest);
        std::iter::successors(first, move |&offset| slot(offset).next_with_id)
            .take(ENTRIES_PER_ID)
            .filter(move |&offset| slot(offset).entry.named_fingerprint() == Some(wanted))
            .map(Offset)
    }

    /// Returns the offset after the event with this fingerprint to which the upstream gave `id`, if everything after it
    /// is still here. Returns `None` also if there was more than one such event, because then the offset is ambiguous.
    pub fn offset_after_event(&self, id: &str, wanted: u64) -> Option<Offset> {
        let mut namesakes = self.events_with_id(id, wanted);
        match (namesakes.next(), namesakes.next()) {
            (Some(only), None) if !self.has_evicted(wanted) => Some(Offset(only.0 + 1)),
            (None, _) if self.is_evicted_last(wanted) => Some(self.start()),
            _ => None,
        }
    }

    /// Returns the upstream's id before the newest event with an id from the upstream.
    pub fn source_id_before_newest_event(&self) -> Option<&EventId> {
        let index = self.slots.iter().rposition(|slot| slot.entry.named_fingerprint().is_some())?;
        Some(self.source_id_at(Offset(self.start + index as u64)))
    }

    /// Returns the offset from which the upstream continues after `id`, for the newest time that `id` came into force.
    /// Returns `None` if events from there on have been evicted.
    ///
    /// An event without an id may be the first entry under an id that came alone. It then follows that id.
    pub fn offset_after_source_id(&self, id: &EventId) -> Option<Offset> {
        let is_in_force = |index: usize| self.slots[index].entry.source_id == *id;
        let newest = (0..self.slots.len()).rev().find(|&index| is_in_force(index));
        let is_held = self.source_id_before_start == *id && !self.is_source_run_truncated;
        let Some(newest) = newest else { return is_held.then(|| self.start()) };
        let first = match (0..newest).rev().find(|&index| !is_in_force(index)) {
            Some(before) => before + 1,
            None if self.source_id_before_start == *id => return is_held.then(|| self.start()),
            None => 0,
        };
        let follows = usize::from(!self.slots[first].entry.is_nameless_event());
        Some(Offset(self.start + (first + follows) as u64))
    }

    /// Returns true if the upstream sends events that are evicted with this entry, or were before it, again after the
    /// entry's id.
    pub(super) fn truncates_source_run(&self, evicted: &Entry) -> bool {
        let is_same_run = evicted.source_id == self.source_id_before_start;
        evicted.is_nameless_event() || (is_same_run && (self.is_source_run_truncated || evicted.is_event()))
    }

    /// Returns the breaks of continuity after the newest event, newest first, if the upstream's id `id` was in force.
    pub fn gaps_at_end(&self, id: &EventId) -> Vec<Gap> {
        let entries = self.slots.iter().rev().map(|slot| &slot.entry);
        let at_end = entries.take_while(|entry| !entry.is_event() && entry.source_id == *id);
        at_end
            .filter_map(|entry| match entry.kind {
                EntryKind::Gap(gap) => Some(gap),
                EntryKind::Event { .. } | EntryKind::Control => None,
            })
            .collect()
    }

    /// Returns true if the entry that was evicted last is an event with this fingerprint and an id from the upstream.
    pub fn is_evicted_last(&self, fingerprint: u64) -> bool {
        self.fingerprint_before_start == Some(fingerprint)
    }

    /// Returns true if every event that was evicted from `at` on would still be recognized.
    pub fn remembers_evicted_since(&self, at: Offset) -> bool {
        self.evicted_events.has_all_since(at.0, self.start)
    }

    /// Returns true if an event with this fingerprint and an id from the upstream was here and has been evicted.
    pub fn has_evicted(&self, fingerprint: u64) -> bool {
        self.evicted_events.contains(fingerprint)
    }
}

/// The maximum number of entries with one id that are searched for an event.
const ENTRIES_PER_ID: usize = 1024;
