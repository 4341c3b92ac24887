//! The binary form of what the store writes: the record of a stream, and segments of its log.
//!
//! Numbers are little-endian, texts have their length in front, and a checksum covers it all. Decoding never panics and
//! never trusts a length: missing bytes give `None`, and damaged bytes do not match the checksum.

use std::hash::Hasher as _;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use super::clock::Moment;
use crate::sse::{EventId, Frame};
use crate::stream::{Entry, EntryKind, Gap, LogSnapshot, Seed};

/// Encodes values to bytes.
#[derive(Debug, Default)]
pub(super) struct RecordEncoder(Vec<u8>);

impl RecordEncoder {
    /// Writes one byte.
    pub(super) fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// Writes a number.
    pub(super) fn number(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Writes a number or its absence.
    pub(super) fn optional(&mut self, value: Option<u64>) -> &mut Self {
        self.byte(u8::from(value.is_some())).number(value.unwrap_or_default())
    }

    /// Writes bytes with their length.
    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Appends the checksum and returns the bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let sum = checksum(&self.0);
        self.number(sum);
        self.0
    }
}

/// Decodes values from bytes.
#[derive(Debug)]
pub(super) struct RecordDecoder<'a>(&'a [u8]);

impl<'a> RecordDecoder<'a> {
    /// Starts decoding, or returns `None` if the checksum does not match.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
        (sum == checksum(content).to_le_bytes()).then_some(Self(content))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads one byte.
    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    /// Reads a number.
    pub(super) fn number(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// Reads a number or its absence.
    pub(super) fn optional(&mut self) -> Option<Option<u64>> {
        let is_there = self.byte()? != 0;
        let value = self.number()?;
        Some(is_there.then_some(value))
    }

    /// Reads bytes with their length.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// Reads a text.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.bytes()?).ok()
    }

    /// Reads an id.
    pub(super) fn id(&mut self) -> Option<EventId> {
        EventId::new(self.text()?).ok()
    }

    /// Whether everything has been read.
    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

/// Computes a checksum against damage, not against attackers: anyone who can write the file can write the checksum.
fn checksum(content: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(content);
    hasher.finish()
}

/// The record of one stream: its incarnation, and how far its log is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Identifies the stream's segments. Unique within the file.
    pub number: u64,
    /// See [`crate::stream::StoredStream`].
    pub seed: Seed,
    /// See [`crate::stream::StoredStream`].
    pub epoch: String,
    /// Number of entries ever stored; the number of the next segment's first entry.
    pub end: u64,
    /// Number of events in the stream's life up to `end`.
    pub events: u64,
    /// The last event id at `end`, for clients.
    pub id: EventId,
    /// The last event id at `end`, for the upstream.
    pub source_id: EventId,
    /// Whether a client that has `id` has everything up to `end`; see [`crate::stream::LogSnapshot`].
    pub is_exact: bool,
    /// The upstream's reconnection time in milliseconds.
    pub retry: Option<u64>,
    /// Whether the stream was shut down cleanly, so that everything sent to clients is stored. Cleared before the
    /// stream continues.
    pub is_clean: bool,
    /// The time at which the upstream completed the stream; Unix time in milliseconds.
    pub complete_at: Option<u64>,
    /// The time at which the stream was last opened, written or closed; Unix time in milliseconds.
    pub touched: u64,
    /// Retention after `touched` in milliseconds.
    pub age: u64,
    /// Size of the segments in bytes.
    pub bytes: u64,
    /// The route's name. Empty in a record of the first format, which did not have it.
    pub route: Arc<str>,
}

impl Record {
    /// Encodes the record.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut encoder = RecordEncoder::default();
        encoder.byte(RECORD_FORMAT).number(self.number).number(self.seed[0]).number(self.seed[1]);
        encoder.bytes(self.epoch.as_bytes()).number(self.end).number(self.events);
        encoder.bytes(self.id.as_str().as_bytes()).bytes(self.source_id.as_str().as_bytes());
        let flags = if self.is_clean { CLEAN } else { 0 } | if self.is_exact { EXACT } else { 0 };
        encoder.optional(self.retry).byte(flags).optional(self.complete_at);
        encoder.number(self.touched).number(self.age).number(self.bytes).bytes(self.route.as_bytes());
        encoder.finish()
    }

    /// Decodes a record. `None`: it is damaged or has an unknown format.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = RecordDecoder::of(bytes)?;
        let format = decoder.byte()?;
        if ![ROUTELESS_RECORD_FORMAT, RECORD_FORMAT].contains(&format) {
            return None;
        }
        let (number, seed) = (decoder.number()?, [decoder.number()?, decoder.number()?]);
        let epoch = decoder.text()?.to_owned();
        let (end, events) = (decoder.number()?, decoder.number()?);
        let (id, source_id) = (decoder.id()?, decoder.id()?);
        let (retry, flags) = (decoder.optional()?, decoder.byte()?);
        let record = Self {
            number,
            seed,
            epoch,
            end,
            events,
            id,
            source_id,
            is_exact: flags & EXACT != 0,
            retry,
            is_clean: flags & CLEAN != 0,
            complete_at: decoder.optional()?,
            touched: decoder.number()?,
            age: decoder.number()?,
            bytes: decoder.number()?,
            route: if format == RECORD_FORMAT { decoder.text()?.into() } else { Arc::default() },
        };
        decoder.is_at_end().then_some(record)
    }

    /// Whether the record's retention has passed at this date.
    pub(super) fn is_expired(&self, wall: u64) -> bool {
        let begun = self.complete_at.unwrap_or(self.touched);
        wall.saturating_sub(begun) > self.age
    }
}

const RECORD_FORMAT: u8 = 2;
/// The same format without the route. It is read, and not written any more.
const ROUTELESS_RECORD_FORMAT: u8 = 1;
const CLEAN: u8 = 1;
const EXACT: u8 = 2;

/// Encodes a segment: the entries of one stream that are committed together, as one value of the file.
///
/// The segment includes the state before it, as in [`LogSnapshot`], so that a log can begin with any segment once older
/// ones are removed.
pub(super) fn encode_segment(piece: &LogSnapshot, now: Moment) -> Vec<u8> {
    let mut encoder = RecordEncoder::default();
    encoder
        .byte(if piece.is_exact { EXACT_SEGMENT_FORMAT } else { SEGMENT_FORMAT })
        .number(piece.events_before)
        .number(piece.entries.len() as u64);
    encoder.bytes(piece.id_before.as_str().as_bytes()).bytes(piece.source_id_before.as_str().as_bytes());
    let (mut id, mut source_id) = (&piece.id_before, &piece.source_id_before);
    for entry in &piece.entries {
        let (kind, has_own_id) = match entry.kind {
            EntryKind::Event { has_own_id, .. } => (EVENT, has_own_id),
            EntryKind::Control => (0, false),
            EntryKind::Gap(gap) => (gap_bits(gap), false),
        };
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let same_id = flag(entry.id == *id, SAME_ID);
        let same_source_id = flag(entry.source_id == *source_id, SAME_SOURCE_ID);
        let equal_ids = flag(entry.source_id == entry.id, EQUAL_IDS);
        let flags = kind | flag(has_own_id, OWN_ID) | same_id | same_source_id | equal_ids;
        encoder.byte(flags).number(now.date(entry.at));
        if let EntryKind::Event { fingerprint, type_fingerprint, .. } = entry.kind {
            encoder.number(fingerprint).number(type_fingerprint);
        }
        if same_id == 0 {
            encoder.bytes(entry.id.as_str().as_bytes());
        }
        if same_source_id == 0 && equal_ids == 0 {
            encoder.bytes(entry.source_id.as_str().as_bytes());
        }
        encoder.bytes(&entry.frame.body());
        (id, source_id) = (&entry.id, &entry.source_id);
    }
    encoder.finish()
}

/// Decodes a segment. `None`: it is damaged or has an unknown format.
pub(super) fn decode_segment(bytes: &[u8], now: Moment) -> Option<LogSnapshot> {
    let mut decoder = RecordDecoder::of(bytes)?;
    let is_exact = match decoder.byte()? {
        SEGMENT_FORMAT => false,
        EXACT_SEGMENT_FORMAT => true,
        _ => return None,
    };
    let events_before = decoder.number()?;
    let count = decoder.number()?;
    let (id_before, source_id_before) = (decoder.id()?, decoder.id()?);
    let mut entries = Vec::new();
    let (mut id, mut source_id): (EventId, EventId) = (id_before.clone(), source_id_before.clone());
    for _ in 0..count {
        let flags = decoder.byte()?;
        let at = now.instant(decoder.number()?);
        let kind = match flags & EVENT {
            0 => gap_from_bits(flags).map_or(EntryKind::Control, EntryKind::Gap),
            _ => {
                let (fingerprint, type_fingerprint) = (decoder.number()?, decoder.number()?);
                EntryKind::Event { fingerprint, has_own_id: flags & OWN_ID != 0, type_fingerprint }
            }
        };
        if flags & SAME_ID == 0 {
            id = decoder.id()?;
        }
        if flags & SAME_SOURCE_ID == 0 {
            source_id = if flags & EQUAL_IDS == 0 { decoder.id()? } else { id.clone() };
        }
        let frame = Frame::from_lines(decoder.bytes()?);
        entries.push(Entry { frame, id: id.clone(), source_id: source_id.clone(), kind, at });
    }
    decoder.is_at_end().then_some(LogSnapshot { entries, events_before, id_before, source_id_before, is_exact })
}

const SEGMENT_FORMAT: u8 = 1;
/// The same format, with the last event id before the segment known to be exact.
const EXACT_SEGMENT_FORMAT: u8 = 2;
const EVENT: u8 = 1;
const OWN_ID: u8 = 2;
const SAME_ID: u8 = 4;
const SAME_SOURCE_ID: u8 = 8;
const EQUAL_IDS: u8 = 16;
/// The three highest bits of an entry that is not an event hold the kind of gap, or 0 for none. They were 0 and ignored
/// before gaps were stored.
const GAP: u8 = 32;

fn gap_bits(gap: Gap) -> u8 {
    GAP * match gap {
        Gap::Upstream => 1,
        Gap::Lagged => 2,
        Gap::Evicted => 3,
        Gap::Unknown => 4,
        Gap::Restarted => 5,
        Gap::TooLarge => 6,
    }
}

fn gap_from_bits(flags: u8) -> Option<Gap> {
    [Gap::Upstream, Gap::Lagged, Gap::Evicted, Gap::Unknown, Gap::Restarted, Gap::TooLarge]
        .into_iter()
        .find(|gap| gap_bits(*gap) == flags & !(GAP - 1))
}

#[cfg(test)]
mod tests;
