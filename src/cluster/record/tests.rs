//! Tests of the form of records: whatever is written is read, and nothing else is taken for a record.

use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::secret::Secret;
use crate::sse::{Encoder, EventId};
use crate::stream::{Entry, EntryKind, Gap};

const LOG: LogId = LogId([5; 16]);

fn keys(byte: u8) -> ClusterKeys {
    ClusterKeys::new(&[Secret::new([byte; 32])])
}

fn entry(id: &str, text: &str, kind: EntryKind) -> Entry {
    let id = EventId::new(id).expect("an id");
    let mut encoder = Encoder::new();
    encoder.id(&id).comment(text).blank_line();
    Entry { frame: encoder.finish(), source_id: id.clone(), id, kind, at: Instant::now() }
}

prop_compose! {
    fn any_entry()(id in "[a-z0-9-]{0,20}", text in "[ -~]{0,200}", kind in 0..3, print in any::<u64>()) -> Entry {
        let kind = match kind {
            0 => EntryKind::Control,
            1 => EntryKind::Gap(Gap::TooLarge),
            _ => EntryKind::Event { fingerprint: print, has_own_id: true, type_fingerprint: 3 },
        };
        entry(&id, &text, kind)
    }
}

fn any_owner() -> impl Strategy<Value = Owner> {
    prop_oneof![
        "[a-z0-9]{1,32}".prop_map(Owner::Node),
        Just(Owner::Released(ReleaseReason::Drain)),
        Just(Owner::Released(ReleaseReason::Unused)),
        (prop::collection::vec(any::<u8>(), 0..40), 0..300_000_u64).prop_map(|(refusal, memory)| {
            Owner::Released(ReleaseReason::Refused { refusal, memory: Duration::from_millis(memory) })
        }),
        Just(Owner::Released(ReleaseReason::Complete)),
    ]
}

prop_compose! {
    fn any_head()(
        numbers in prop::array::uniform6(any::<u64>()),
        owner in any_owner(),
        epoch in "[0-9a-f]{16}",
        first in 0..u64::MAX / 2,
        retry in prop::option::of(0..u64::from(u32::MAX)),
        flags in any::<(bool, bool)>(),
        written in any::<u64>(),
    ) -> RecordHead {
        let [mark, prev, life, term, one, other] = numbers;
        let retry = retry.map(Duration::from_millis);
        let (is_complete, has_been_live) = flags;
        RecordHead {
            mark, prev, life, term, owner, seed: [one, other], epoch, first, count: 0, retry, is_complete,
            has_been_live, written,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_record_is_read_as_it_was_written(head in any_head(), entries in prop::collection::vec(any_entry(), 0..8)) {
        let head = RecordHead { count: entries.len() as u64, ..head };
        let snapshot = LogSnapshot { entries, events_before: 9, is_exact: true, ..LogSnapshot::default() };

        let bytes = head.encode(&keys(1), &LOG, &snapshot, Moment::now());
        let read = LogRecord::decode(&keys(1), &LOG, &bytes, Moment::now()).expect("a record");

        prop_assert_eq!(&read.head, &head);
        prop_assert_eq!(read.entries.events_before, 9);
        for (read, written) in read.entries.entries.iter().zip(&snapshot.entries) {
            prop_assert_eq!(read.frame.body(), written.frame.body());
            prop_assert_eq!((&read.id, &read.source_id, read.kind), (&written.id, &written.source_id, written.kind));
        }
    }

    #[test]
    fn a_changed_record_is_refused(head in any_head(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = head.encode(&keys(1), &LOG, &LogSnapshot::default(), Moment::now()).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;

        let read = LogRecord::decode(&keys(1), &LOG, &bytes, Moment::now());

        prop_assert_eq!(read.err(), Some(RecordError::Signature));
    }

    #[test]
    fn signed_nonsense_is_damaged_or_of_another_format(content in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = keys(1).sign(SignedKind::Record, &LOG.0, content.clone());

        let read = LogRecord::decode(&keys(1), &LOG, &bytes, Moment::now()).err();

        match content.first() {
            Some(&format) if format != FORMAT => prop_assert_eq!(read, Some(RecordError::Format(format))),
            _ => prop_assert_eq!(read, Some(RecordError::Damaged)),
        }
    }
}

#[test]
fn a_record_of_another_key_or_log_is_foreign() {
    let bytes = head().encode(&keys(1), &LOG, &LogSnapshot::default(), Moment::now());

    let with_key = LogRecord::decode(&keys(2), &LOG, &bytes, Moment::now()).err();
    let of_log = LogRecord::decode(&keys(1), &LogId([6; 16]), &bytes, Moment::now()).err();

    assert_eq!((with_key, of_log), (Some(RecordError::Signature), Some(RecordError::Signature)));
}

#[test]
fn a_count_that_does_not_fit_the_entries_is_damage() {
    let head = RecordHead { count: 2, ..head() };
    let snapshot = LogSnapshot { entries: vec![entry("1", "x", EntryKind::Control)], ..LogSnapshot::default() };

    let bytes = head.encode(&keys(1), &LOG, &snapshot, Moment::now());

    assert_eq!(LogRecord::decode(&keys(1), &LOG, &bytes, Moment::now()).err(), Some(RecordError::Damaged));
}

#[test]
fn the_state_after_a_record_has_its_events_and_last_ids() {
    let event = EntryKind::Event { fingerprint: 1, has_own_id: true, type_fingerprint: 2 };
    let entries = vec![entry("1", "x", event), entry("2", "y", event), entry("2", "z", EntryKind::Control)];
    let record = LogRecord {
        head: RecordHead { count: 3, ..head() },
        entries: LogSnapshot { entries, events_before: 5, ..LogSnapshot::default() },
    };

    let after = record.state_after();

    assert_eq!((after.events_before, after.id_before.as_str(), after.entries.len()), (7, "2", 0));
}

#[test]
fn a_record_precedes_another_of_its_claim_unless_it_has_news() {
    let last = RecordHead { first: 7, count: 2, ..head() };
    let before = RecordHead { first: 5, count: 2, ..head() };

    assert!(before.may_precede(&last));
    assert!(RecordHead { has_been_live: false, ..before.clone() }.may_precede(&last));
    let later = [
        RecordHead { first: 9, count: 1, ..head() },
        RecordHead { epoch: "fedcba9876543210".to_owned(), ..before.clone() },
        RecordHead { owner: Owner::Released(ReleaseReason::Drain), ..before.clone() },
    ];
    for later in later {
        assert!(!later.may_precede(&last), "{later:?}");
    }
    assert!(!before.may_precede(&RecordHead { has_been_live: false, ..last }));
}

fn head() -> RecordHead {
    RecordHead {
        mark: 1,
        prev: 2,
        life: 3,
        term: 4,
        owner: Owner::Node("a".to_owned()),
        seed: [5, 6],
        epoch: "0123456789abcdef".to_owned(),
        first: 7,
        count: 0,
        retry: None,
        is_complete: false,
        has_been_live: true,
        written: 8,
    }
}
