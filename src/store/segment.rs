//! A segment: the entries of one stream that were committed together, as one value of the file.
//!
//! It says what came before it, so that a log can begin with any segment: older ones are simply not there.

use super::clock::Moment;
use super::codec::{RecordDecoder, RecordEncoder};
use crate::sse::{EventId, Frame};
use crate::stream::{Entry, EntryKind, Gap, LogSnapshot};

/// A segment's entries as bytes. What stands before them is told as in [`LogSnapshot`].
pub fn encode(piece: &LogSnapshot, now: Moment) -> Vec<u8> {
    let mut sheet = RecordEncoder::default();
    sheet
        .byte(if piece.is_exact { EXACT_FORMAT } else { FORMAT })
        .number(piece.events_before)
        .number(piece.entries.len() as u64);
    sheet.bytes(piece.id_before.as_str().as_bytes()).bytes(piece.source_id_before.as_str().as_bytes());
    let (mut id, mut source_id) = (&piece.id_before, &piece.source_id_before);
    for entry in &piece.entries {
        let (kind, has_own_id) = match entry.kind {
            EntryKind::Event { has_own_id, .. } => (EVENT, has_own_id),
            EntryKind::Aside => (0, false),
            EntryKind::Gap(gap) => (of_gap(gap), false),
        };
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let same_id = flag(entry.id == *id, SAME_ID);
        let same_source_id = flag(entry.source_id == *source_id, SAME_SOURCE_ID);
        let equal_ids = flag(entry.source_id == entry.id, EQUAL_IDS);
        let flags = kind | flag(has_own_id, OWN_ID) | same_id | same_source_id | equal_ids;
        sheet.byte(flags).number(now.date(entry.at));
        if let EntryKind::Event { fingerprint, topic, .. } = entry.kind {
            sheet.number(fingerprint).number(topic);
        }
        if same_id == 0 {
            sheet.bytes(entry.id.as_str().as_bytes());
        }
        if same_source_id == 0 && equal_ids == 0 {
            sheet.bytes(entry.source_id.as_str().as_bytes());
        }
        sheet.bytes(&entry.frame.body());
        (id, source_id) = (&entry.id, &entry.source_id);
    }
    sheet.finish()
}

/// What [`encode`] made. `None`: it is damaged, or of a format that is not known.
pub fn decode(bytes: &[u8], now: Moment) -> Option<LogSnapshot> {
    let mut reading = RecordDecoder::of(bytes)?;
    let is_exact = match reading.byte()? {
        FORMAT => false,
        EXACT_FORMAT => true,
        _ => return None,
    };
    let events_before = reading.number()?;
    let count = reading.number()?;
    let (id_before, source_id_before) = (reading.id()?, reading.id()?);
    let mut entries = Vec::new();
    let (mut id, mut source_id): (EventId, EventId) = (id_before.clone(), source_id_before.clone());
    for _ in 0..count {
        let flags = reading.byte()?;
        let at = now.instant(reading.number()?);
        let kind = match flags & EVENT {
            0 => to_gap(flags).map_or(EntryKind::Aside, EntryKind::Gap),
            _ => {
                let (fingerprint, topic) = (reading.number()?, reading.number()?);
                EntryKind::Event { fingerprint, has_own_id: flags & OWN_ID != 0, topic }
            }
        };
        if flags & SAME_ID == 0 {
            id = reading.id()?;
        }
        if flags & SAME_SOURCE_ID == 0 {
            source_id = if flags & EQUAL_IDS == 0 { reading.id()? } else { id.clone() };
        }
        let frame = Frame::of_lines(reading.bytes()?);
        entries.push(Entry { frame, id: id.clone(), source_id: source_id.clone(), kind, at });
    }
    reading.is_at_end().then_some(LogSnapshot { entries, events_before, id_before, source_id_before, is_exact })
}

const FORMAT: u8 = 1;
/// The same, of a segment before which the id in force is exact.
const EXACT_FORMAT: u8 = 2;
const EVENT: u8 = 1;
const OWN_ID: u8 = 2;
const SAME_ID: u8 = 4;
const SAME_SOURCE_ID: u8 = 8;
const EQUAL_IDS: u8 = 16;
/// The three highest bits of an entry that is no event say which gap it is, 0: none. Before there were gaps they were 0, and
/// nobody looked at them.
const GAP: u8 = 32;

fn of_gap(gap: Gap) -> u8 {
    GAP * match gap {
        Gap::Upstream => 1,
        Gap::Lagged => 2,
        Gap::Evicted => 3,
        Gap::Unknown => 4,
        Gap::Restarted => 5,
        Gap::TooLarge => 6,
    }
}

fn to_gap(flags: u8) -> Option<Gap> {
    [Gap::Upstream, Gap::Lagged, Gap::Evicted, Gap::Unknown, Gap::Restarted, Gap::TooLarge]
        .into_iter()
        .find(|gap| of_gap(*gap) == flags & !(GAP - 1))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::sse::Encoder;

    #[test]
    fn a_gap_is_still_one_when_it_is_read_again() {
        let kinds = [
            EntryKind::Aside,
            EntryKind::Gap(Gap::Upstream),
            EntryKind::Event { fingerprint: 1, has_own_id: true, topic: 2 },
            EntryKind::Gap(Gap::Restarted),
            EntryKind::Gap(Gap::TooLarge),
        ];
        let entry = |kind| {
            let (id, source_id) = (EventId::default(), EventId::new("7").expect("an id"));
            let mut encoder = Encoder::new();
            encoder.comment("");
            Entry { frame: encoder.finish(), id, source_id, kind, at: Instant::now() }
        };
        let past = LogSnapshot { entries: kinds.map(entry).into(), ..LogSnapshot::default() };

        let read = decode(&encode(&past, Moment::now()), Moment::now()).expect("a segment");

        assert_eq!(read.entries.iter().map(|entry| entry.kind).collect::<Vec<_>>(), kinds);
    }
}
