//! Tests of the binary form of records, also of those that earlier versions wrote.

use super::*;

#[test]
fn a_record_without_a_route_is_still_read() {
    let record = Record { route: "prices".into(), ..record() };
    let mut old = record.encode();
    old.truncate(old.len() - 8 - "prices".len() - 8);
    old[0] = ROUTELESS_RECORD_FORMAT;
    let old = BinaryEncoder::from(old).finish();

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
