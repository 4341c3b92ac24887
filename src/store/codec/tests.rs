//! Tests of the binary form of records, also of those that earlier versions wrote.

use super::*;

#[test]
fn records_without_a_request_and_without_a_route_are_still_read() {
    let record = Record { route: "prices".into(), ..record() };
    let checksum = 8;
    let mut second = record.encode();
    second.truncate(second.len() - checksum - 1);
    let mut first = second.clone();
    first.truncate(first.len() - 8 - "prices".len());
    (second[0], first[0]) = (REQUESTLESS_RECORD_FORMAT, ROUTELESS_RECORD_FORMAT);
    let [first, second] = [first, second].map(|bytes| BinaryEncoder::from(bytes).finish());

    assert_eq!(Record::decode(&record.encode()), Some(record.clone()));
    assert_eq!(Record::decode(&second), Some(record.clone()));
    assert_eq!(Record::decode(&first), Some(Record { route: "".into(), ..record }));
}

#[test]
fn a_record_keeps_its_request() {
    let request = OpeningRequest { key: [1; 32], salt: [2; 16], body: [3; 32] };
    let record = Record { request: Some(request), ..record() };

    assert_eq!(Record::decode(&record.encode()), Some(record));
}

#[test]
fn a_record_keeps_each_of_its_flags() {
    for (is_clean, is_exact, is_stopped) in [(true, false, false), (false, true, false), (false, false, true)] {
        let record = Record { is_clean, is_exact, is_stopped, ..record() };

        assert_eq!(Record::decode(&record.encode()), Some(record));
    }
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
        is_stopped: false,
        touched: 5,
        age: 6,
        bytes: 3,
        route: Arc::default(),
        request: None,
    }
}
