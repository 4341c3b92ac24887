//! The persistence of one open stream: how far its log is stored, and in which segments.
//!
//! The stored part is one piece of the log without gaps. If the log has evicted entries that were not stored yet, it
//! has also evicted all stored ones, so the store drops those too. Does not decide when to write.

use std::collections::VecDeque;
use std::sync::Arc;

use super::codec::Record;
use super::db::WriteTxn;
use super::folder::StoreFault;
use super::inbox::StreamHandle;
use super::index::StoreIndex;
use crate::runtime::moment::{Moment, milliseconds};
use crate::sse::EventId;
use crate::stream::{
    EventStream, Incompletion, LogSnapshot, Offset, Phase, StoredStream, decode_segment, encode_segment,
};

/// Writes the log of one open stream to the file.
#[derive(Debug)]
pub(super) struct StreamPersister {
    /// The handle shared with the stream.
    pub handle: Arc<StreamHandle>,
    /// Difference between an entry's number in the file and its offset in the log. Wraps.
    shift: u64,
    /// The state in the file. `None`: unknown, to be read before the next write.
    state: Option<FileState>,
}

#[derive(Debug)]
struct FileState {
    record: Record,
    /// Whether the record was clean when it was read.
    was_clean: bool,
    next: Offset,
    segments: VecDeque<Segment>,
}

#[derive(Debug)]
struct Segment {
    first: u64,
    end: u64,
    bytes: u64,
    newest: u64,
}

impl StreamPersister {
    /// Makes a persister of a stream whose stored state is not known.
    pub(super) fn new(handle: Arc<StreamHandle>) -> Self {
        Self { handle, shift: 0, state: None }
    }

    /// Discards the known state of the file, so that it is read again.
    pub(super) fn forget_state(&mut self) {
        self.state = None;
    }

    /// Reads the stored state under the stream's key, unless its retention has passed. Marks the record as not clean
    /// from now on.
    pub(super) fn restore(
        &mut self,
        txn: &mut WriteTxn<'_>,
        index: &mut StoreIndex,
        now: Moment,
    ) -> Result<Option<StoredStream>, StoreFault> {
        let key = self.handle.key;
        let Some(mut record) = txn.record(&key)? else { return Ok(None) };
        if record.is_expired(now.wall) {
            index.remove(txn, &key)?;
            return Ok(None);
        }
        let (snapshot, segments) = read_segments(txn, &record, now)?;
        let was_clean = record.is_clean;
        let stored = StoredStream {
            snapshot,
            seed: record.seed,
            epoch: record.epoch.clone(),
            retry: record.retry.map(std::time::Duration::from_millis),
            is_clean: was_clean,
            complete_for: record.complete_at.map(|at| now.since(at)),
            is_stopped: record.is_stopped,
        };
        (record.is_clean, record.touched) = (false, now.wall);
        record.route = self.handle.route.clone();
        // The stream has published nothing yet, so the stored part ends where its log begins.
        let next = self.handle.persisted_until();
        self.shift = record.end.wrapping_sub(next.0);
        index.put_record(txn, &key, &record, total_bytes(&segments))?;
        self.state = Some(FileState { record, was_clean, next, segments });
        Ok(Some(stored))
    }

    /// Writes new entries and removes segments whose entries the log has evicted. Stops after about `budget` bytes and
    /// returns whether more remains. The last write ignores the budget and marks the record as clean.
    pub(super) fn write(
        &mut self,
        txn: &mut WriteTxn<'_>,
        index: &mut StoreIndex,
        stream: &EventStream,
        is_last: bool,
        budget: &mut usize,
        now: Moment,
    ) -> Result<bool, StoreFault> {
        self.handle.clear_changed();
        let key = self.handle.key;
        let progress = stream.progress();
        let (is_new, seed, epoch) = {
            let log = stream.log();
            let is_new = log.events_until(log.end()) == 0;
            (is_new, stream.fingerprints().seed(), stream.id_minter().epoch().to_owned())
        };
        if self.state.as_ref().is_some_and(|state| state.record.seed != seed) {
            if is_new {
                return self.leave_unchanged(txn, index, is_last).map(|()| false);
            }
            // The stream did not wait for its stored state.
            self.forget_state();
        }
        if self.state.is_none() && is_new {
            return Ok(false);
        }
        if self.state.is_none() {
            self.locate(txn, index, stream, now)?;
        }
        let state = self.state.as_mut().expect("located above");
        state.record.epoch = epoch;
        let shift = self.shift;
        let file_offset = |offset: Offset| offset.0.wrapping_add(shift);
        let start = loop {
            let (unstored, start) = next_unstored(stream, state.next);
            let LogSlice { snapshot: slice, first, end, is_end_exact } = match unstored {
                Unstored::Slice(slice) => slice,
                Unstored::Evicted(position) => {
                    state.skip_to(start, file_offset(start), position);
                    break start;
                }
                Unstored::Nothing => break start,
            };
            let last = slice.entries.last().expect("a slice has entries");
            (state.record.id, state.record.source_id) = (last.id.clone(), last.source_id.clone());
            state.record.is_exact = is_end_exact;
            state.record.events =
                slice.events_before + slice.entries.iter().filter(|entry| entry.is_event()).count() as u64;
            let newest = now.date(last.at);
            let bytes = encode_segment(&slice, now);
            txn.put_segment(state.record.number, file_offset(first), &bytes)?;
            let bytes = bytes.len() as u64;
            state.segments.push_back(Segment { first: file_offset(first), end: file_offset(end), bytes, newest });
            state.next = end;
            state.record.end = file_offset(end);
            *budget = budget.saturating_sub(bytes as usize);
            if *budget == 0 && !is_last {
                break start;
            }
        };
        while state.segments.front().is_some_and(|oldest| oldest.end <= file_offset(start)) {
            state.remove_oldest(txn)?;
        }
        let has_more = state.next < stream.log().end();
        let is_complete = progress.phase == Phase::Complete && !has_more;
        state.record.complete_at = is_complete.then(|| state.record.complete_at.unwrap_or(now.wall));
        state.record.is_stopped = progress.phase == Phase::Incomplete(Incompletion::Stopped);
        state.record.retry = progress.retry.map(milliseconds);
        state.record.is_clean = is_last && !has_more;
        state.record.touched = now.wall;
        state.record.age = milliseconds(stream.policy().current().retention.age);
        self.handle.set_persisted_until(state.next);
        index.put_record(txn, &key, &state.record, total_bytes(&state.segments))?;
        Ok(has_more)
    }

    /// Restores the clean mark of a stream that closes without having continued from its stored state.
    fn leave_unchanged(
        &mut self,
        txn: &mut WriteTxn<'_>,
        index: &mut StoreIndex,
        is_last: bool,
    ) -> Result<(), StoreFault> {
        let Some(state) = self.state.as_mut().filter(|_| is_last) else { return Ok(()) };
        state.record.is_clean = state.was_clean;
        index.put_record(txn, &self.handle.key, &state.record, total_bytes(&state.segments))
    }

    /// Finds the stream's state in the file. Starts a new one if the file has another incarnation or none.
    fn locate(
        &mut self,
        txn: &mut WriteTxn<'_>,
        index: &mut StoreIndex,
        stream: &EventStream,
        now: Moment,
    ) -> Result<(), StoreFault> {
        let key = self.handle.key;
        let seed = stream.fingerprints().seed();
        if let Some(record) = txn.record(&key)?.filter(|record| record.seed == seed) {
            let (_, segments) = read_segments(txn, &record, now)?;
            let next = Offset(record.end.wrapping_sub(self.shift));
            self.state = Some(FileState { record, was_clean: false, next, segments });
            return Ok(());
        }
        index.remove(txn, &key)?;
        let next = stream.log().start();
        let number = index.next_number();
        self.shift = 0;
        let record = Record {
            number,
            seed,
            epoch: stream.id_minter().epoch().to_owned(),
            end: next.0,
            events: 0,
            id: Default::default(),
            source_id: Default::default(),
            is_exact: false,
            retry: None,
            is_clean: false,
            complete_at: None,
            is_stopped: false,
            touched: now.wall,
            age: 0,
            bytes: 0,
            route: self.handle.route.clone(),
            request: self.handle.request,
        };
        self.state = Some(FileState { record, was_clean: false, next, segments: VecDeque::new() });
        Ok(())
    }

    /// Whether half of the retention has passed since the last write.
    pub(super) fn is_stale(&self, wall: u64) -> bool {
        self.state.as_ref().is_some_and(|state| wall.saturating_sub(state.record.touched) > state.record.age / 2)
    }

    /// Returns the date of the newest entry in the oldest segment.
    pub(super) fn oldest_segment_date(&self) -> Option<u64> {
        Some(self.state.as_ref()?.segments.front()?.newest)
    }

    /// Removes the oldest segment.
    pub(super) fn evict_oldest_segment(
        &mut self,
        txn: &mut WriteTxn<'_>,
        index: &mut StoreIndex,
    ) -> Result<(), StoreFault> {
        let Some(state) = self.state.as_mut() else { return Ok(()) };
        state.remove_oldest(txn)?;
        index.put_record(txn, &self.handle.key, &state.record, total_bytes(&state.segments))
    }
}

impl FileState {
    /// Moves to the log's start, because everything up to it was evicted before it could be stored.
    fn skip_to(&mut self, start: Offset, file_offset: u64, position: LogPosition) {
        let LogPosition { events, id, source_id, is_exact } = position;
        (self.next, self.record.end) = (start, file_offset);
        (self.record.events, self.record.is_exact) = (events, is_exact);
        (self.record.id, self.record.source_id) = (id, source_id);
    }

    fn remove_oldest(&mut self, txn: &mut WriteTxn<'_>) -> Result<(), StoreFault> {
        match self.segments.pop_front() {
            Some(oldest) => txn.remove_segment(self.record.number, oldest.first),
            None => Ok(()),
        }
    }
}

fn total_bytes(segments: &VecDeque<Segment>) -> u64 {
    segments.iter().map(|segment| segment.bytes + SEGMENT_COST).sum()
}

/// A slice of the log, about as large as a segment.
struct LogSlice {
    snapshot: LogSnapshot,
    first: Offset,
    end: Offset,
    /// Whether the state at the end of the slice is exact; see [`LogSnapshot::is_exact`].
    is_end_exact: bool,
}

/// The part of a log that is not stored.
enum Unstored {
    /// These entries are next.
    Slice(LogSlice),
    /// Everything that was not stored has been evicted. This is the state at the log's start, which is also its end.
    Evicted(LogPosition),
    /// Everything is stored.
    Nothing,
}

/// The state at an offset of the log.
struct LogPosition {
    /// The number of events before it.
    events: u64,
    id: EventId,
    source_id: EventId,
    /// See [`LogSnapshot::is_exact`].
    is_exact: bool,
}

/// Returns the entries from `next` on, or from the log's start if `next` has been evicted, and the offset of the log's
/// start.
fn next_unstored(stream: &EventStream, next: Offset) -> (Unstored, Offset) {
    let log = stream.log();
    let start = log.start();
    let first = next.max(start);
    let Ok(entries) = log.entries_from(first, 0) else { return (Unstored::Nothing, start) };
    let mut bytes = 0;
    let entries: Vec<_> = entries
        .take_while(|entry| {
            let fits = bytes < SEGMENT_BYTES;
            bytes += entry.frame.len();
            fits
        })
        .cloned()
        .collect();
    if entries.is_empty() {
        let position = || LogPosition {
            events: log.events_until(start),
            id: log.id_at(start).clone(),
            source_id: log.source_id_at(start).clone(),
            is_exact: log.is_exact_at(start),
        };
        return (if start > next { Unstored::Evicted(position()) } else { Unstored::Nothing }, start);
    }
    let end = Offset(first.0 + entries.len() as u64);
    let snapshot = LogSnapshot {
        entries,
        events_before: log.events_until(first),
        id_before: log.id_at(first).clone(),
        source_id_before: log.source_id_at(first).clone(),
        is_exact: log.is_exact_at(first),
    };
    (Unstored::Slice(LogSlice { snapshot, first, end, is_end_exact: log.is_exact_at(end) }), start)
}

/// Reads all segments of a stream and checks that they are contiguous.
fn read_segments(
    txn: &WriteTxn<'_>,
    record: &Record,
    now: Moment,
) -> Result<(LogSnapshot, VecDeque<Segment>), StoreFault> {
    let corrupt = |what: &str| StoreFault::Corrupt(what.to_owned());
    let mut segments = VecDeque::new();
    let mut whole: Option<LogSnapshot> = None;
    for (first, bytes) in txn.segments(record.number)? {
        let slice = decode_segment(&bytes, now).ok_or_else(|| corrupt("the checksum of a segment does not match"))?;
        if segments.back().is_some_and(|before: &Segment| before.end != first) {
            return Err(corrupt("a segment is missing"));
        }
        let end = first + slice.entries.len() as u64;
        let newest = slice.entries.last().map_or(record.touched, |entry| now.date(entry.at));
        segments.push_back(Segment { first, end, bytes: bytes.len() as u64, newest });
        match &mut whole {
            Some(whole) => whole.entries.extend(slice.entries),
            None => whole = Some(slice),
        }
    }
    let nothing = || LogSnapshot {
        entries: Vec::new(),
        events_before: record.events,
        id_before: record.id.clone(),
        source_id_before: record.source_id.clone(),
        is_exact: record.is_exact,
    };
    let whole = whole.unwrap_or_else(nothing);
    let events = whole.events_before + whole.entries.iter().filter(|entry| entry.is_event()).count() as u64;
    if events != record.events || segments.back().is_some_and(|last| last.end != record.end) {
        return Err(corrupt("the segments of a stream do not match its record"));
    }
    Ok((whole, segments))
}

/// Approximate maximum size of a segment in bytes.
const SEGMENT_BYTES: usize = 256 << 10;

/// Approximate size of a segment beyond its bytes: its key and its share of a page.
const SEGMENT_COST: u64 = 64;
