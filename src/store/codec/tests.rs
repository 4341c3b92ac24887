//! Tests of the binary form, also of records that earlier versions wrote.

use std::time::Instant;

use super::*;
use crate::sse::Encoder;

#[test]
fn a_record_without_a_route_is_still_read() {
    let record = Record { route: "prices".into(), ..record() };
    let mut old = record.encode();
    old.truncate(old.len() - 8 - "prices".len() - 8);
    old[0] = ROUTELESS_RECORD_FORMAT;
    let old = RecordEncoder(old).finish();

    assert_eq!(Record::decode(&record.encode()), Some(record.clone()));
    assert_eq!(Record::decode(&old), Some(Record { route: "".into(), ..record }));
}

fn record() -> Record {
    Record {
        number: 7,
        seed: [1, 2],
        epoch: "e".to_owned(),
        end: 9,
        events: 8,
        id: EventId::default(),
        source_id: EventId::default(),
        is_exact: true,
        retry: Some(2000),
        is_clean: true,
        complete_at: None,
        touched: 5,
        age: 6,
        bytes: 3,
        route: Arc::default(),
    }
}

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
