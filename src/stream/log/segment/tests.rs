//! Tests of the binary form of segments.

use std::time::Instant;

use super::*;
use crate::sse::Encoder;

#[test]
fn kinds_of_entries_survive_encoding() {
    let kinds = [
        EntryKind::Control,
        EntryKind::Gap(Gap::Upstream),
        EntryKind::Event { fingerprint: 1, has_own_id: true, type_fingerprint: 2 },
        EntryKind::Gap(Gap::Restarted),
        EntryKind::Gap(Gap::TooLarge),
    ];
    let entry = |kind| {
        let (id, source_id) = (EventId::default(), EventId::new("7").expect("an id"));
        let mut encoder = Encoder::new();
        encoder.comment("");
        Entry { frame: encoder.finish(), id, source_id, kind, at: Instant::now() }
    };
    let snapshot = LogSnapshot { entries: kinds.map(entry).into(), ..LogSnapshot::default() };

    let read = decode_segment(&encode_segment(&snapshot, Moment::now()), Moment::now()).expect("a segment");

    assert_eq!(read.entries.iter().map(|entry| entry.kind).collect::<Vec<_>>(), kinds);
}
