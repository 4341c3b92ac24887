//! The binary form of a segment of a log, as it is stored.
//!
//! The form is the same on disk and in an engine that gateways share. Entries carry dates, since instants mean nothing to
//! another process.

use super::binary::{BinaryDecoder, BinaryEncoder};
use super::entry::{Entry, EntryKind};
use super::snapshot::LogSnapshot;
use super::verdict::Gap;
use crate::runtime::moment::Moment;
use crate::sse::{EventId, Frame};

/// Encodes a segment: the entries of one stream that are committed together, as one value of a file or one record of an engine.
///
/// The segment includes the state before it, as in [`LogSnapshot`], so that a log can begin with any segment once older
/// ones are removed.
pub fn encode_segment(piece: &LogSnapshot, now: Moment) -> Vec<u8> {
    let mut encoder = BinaryEncoder::default();
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

/// Decodes a segment. Returns `None` if it is damaged or has an unknown format.
pub fn decode_segment(bytes: &[u8], now: Moment) -> Option<LogSnapshot> {
    let mut decoder = BinaryDecoder::of(bytes)?;
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
        let frame = Frame::with_body(decoder.bytes()?);
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
