//! Tests of the log: examples, and a comparison with a list that retains everything.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::sse::{Event, Frame};

const MANY: Retention = Retention { events: 1000, bytes: 1 << 20, age: Duration::from_secs(60) };

fn log_of(events: usize) -> EventLog {
    EventLog::new(Retention { events, ..MANY })
}

fn entry(id: &str, kind: EntryKind, at: Instant) -> Entry {
    let id = EventId::new(id).unwrap();
    let event = Event { data: "x".to_owned(), id: Some(id.clone()), ..Event::default() };
    Entry { frame: Frame::from(&event), source_id: id.clone(), id, kind, at }
}

fn event(id: &str) -> Entry {
    entry(id, EntryKind::Event { fingerprint: 0, has_own_id: true, type_fingerprint: 0 }, Instant::now())
}

fn control(id: &str) -> Entry {
    entry(id, EntryKind::Control, Instant::now())
}

fn filled(mut log: EventLog, ids: &[&str]) -> EventLog {
    for id in ids {
        log.append(event(id));
    }
    log
}

fn ids_from(log: &EventLog, at: Offset) -> Vec<String> {
    log.entries_from(at, 0).expect("in the log").map(|entry| entry.id.to_string()).collect()
}

#[test]
fn a_reader_gets_the_entries_after_its_id() {
    let log = filled(log_of(10), &["1", "2", "3"]);

    assert_eq!(log.lookup("1"), IdLookup::Found(Offset(1)));
    assert_eq!(ids_from(&log, Offset(1)), ["2", "3"]);
    assert_eq!(log.events_after(Offset(1)), 2);
    assert_eq!(log.events_until(Offset(1)), 1);
    assert_eq!(log.lookup("3"), IdLookup::Found(log.end()));
}

#[test]
fn a_repeated_id_stands_for_its_oldest_occurrence() {
    let mut log = filled(log_of(4), &["a", "b", "a", "c"]);
    assert_eq!(log.lookup("a"), IdLookup::Found(Offset(1)));

    log.append(event("d"));

    assert_eq!(log.lookup("a"), IdLookup::Found(Offset(3)), "the first has been evicted");
    log.append(event("a"));
    log.append(event("e"));
    assert_eq!(log.lookup("a"), IdLookup::Found(Offset(6)), "and the second");
}

#[test]
fn no_event_is_skipped_if_the_start_cuts_a_run_of_one_id() {
    let mut log = filled(log_of(3), &["a", "a", "a", "b"]);
    assert_eq!(log.lookup("a"), IdLookup::Found(Offset(1)), "who read the first has missed nothing that is gone");

    log.append(event("b"));

    assert_eq!(log.lookup("a"), IdLookup::Evicted, "the second is gone, and who read the first has not read it");
}

#[test]
fn an_evicted_control_entry_is_not_missed() {
    let mut log = log_of(1);
    for entry in [event("a"), control("a"), control("a"), event("a")] {
        log.append(entry);
    }

    assert_eq!(log.start(), Offset(2));
    assert_eq!(log.lookup("a"), IdLookup::Found(Offset(2)));
}

#[test]
fn the_count_bounds_events_and_control_entries() {
    let log = filled(log_of(2), &["1", "2", "3"]);
    assert_eq!((log.start(), log.end(), log.events()), (Offset(1), Offset(3), 2));

    let mut log = log_of(2);
    for number in 0..100 {
        log.append(control(&number.to_string()));
    }
    assert_eq!(log.end().0 - log.start().0, 4, "control entries have room for twice the count");
}

#[test]
fn bytes_bound_the_log_but_the_newest_entry_stays() {
    let size = event("1").frame.len();
    let log = filled(EventLog::new(Retention { bytes: 2 * size, ..MANY }), &["1", "2", "3"]);
    assert_eq!((log.events(), log.bytes()), (2, 2 * size));

    let log = filled(EventLog::new(Retention { bytes: 1, ..MANY }), &["1", "2"]);
    assert_eq!(ids_from(&log, log.start()), ["2"]);
}

#[test]
fn age_empties_a_quiet_log() {
    let mut log = filled(log_of(10), &["1", "2"]);

    log.expire(Instant::now() + Duration::from_secs(61));

    assert_eq!((log.events(), log.bytes(), log.start()), (0, 0, log.end()));
    assert_eq!(log.id_at(log.end()).as_str(), "2", "a place has an id even then");
    assert_eq!(log.lookup("1"), IdLookup::Evicted);
}

#[test]
fn evicted_and_unknown_ids_differ() {
    let log = filled(log_of(1), &["1", "2", "3"]);

    assert_eq!(log.lookup("1"), IdLookup::Evicted);
    assert_eq!(log.lookup("0"), IdLookup::Unknown);
}

#[test]
fn a_client_with_the_newest_evicted_id_has_missed_nothing() {
    let mut log = filled(log_of(2), &["1", "2", "3", "4"]);
    assert_eq!(log.lookup("2"), IdLookup::Found(log.start()));

    log.expire(Instant::now() + Duration::from_secs(61));
    assert_eq!((log.lookup("4"), log.lookup("3")), (IdLookup::Found(log.end()), IdLookup::Evicted));

    let log = filled(log_of(1), &["1", "2", "1", "3"]);
    assert_eq!(log.lookup("1"), IdLookup::Evicted, "it may be the first of the two");
}

#[test]
fn remembered_ids_are_bounded() {
    let mut log = log_of(1);
    for number in 0..5000 {
        log.append(event(&number.to_string()));
    }

    assert_eq!(log.evicted_ids.hashes.len(), 1024);
    assert_eq!(log.occurrences.len(), 1);
    assert_eq!(log.lookup("0"), IdLookup::Unknown);
    assert_eq!(log.lookup("4997"), IdLookup::Evicted);
}

#[test]
fn control_entries_count_neither_as_missed_nor_as_read() {
    let mut log = log_of(10);
    for entry in [event("1"), control("1"), event("2"), control("2")] {
        log.append(entry);
    }

    assert_eq!(log.events(), 2);
    assert_eq!(log.lookup("1"), IdLookup::Found(Offset(1)));
    assert_eq!(log.events_after(Offset(1)), 1);
    assert_eq!(log.start_of_newest(1), Offset(1));
    assert_eq!(log.start_of_newest(9), Offset(0));
    assert_eq!(log.events_after(log.start_of_newest(0)), 0);
}

#[test]
fn a_reader_that_falls_off_is_told_how_much_it_missed() {
    let log = filled(log_of(4), &["1", "2", "3", "4", "5", "6", "7"]);

    assert_eq!(log.entries_from(Offset(0), 0).err(), Some(Lagged { missed: 3 }));
    assert_eq!(log.entries_from(Offset(2), 2).err(), Some(Lagged { missed: 1 }));
    assert!(log.entries_from(Offset(3), 3).is_ok());
}

#[test]
fn find_event_returns_the_newest_event_with_an_id_from_the_upstream() {
    let mut log = log_of(10);
    let now = Instant::now();
    for (id, fingerprint, has_own_id) in [("1", 7, true), ("2", 7, true), ("2", 7, false)] {
        log.append(entry(id, EntryKind::Event { fingerprint, has_own_id, type_fingerprint: 0 }, now));
    }

    assert_eq!(log.find_event(7), Some(Offset(1)));
    assert_eq!(log.find_event(8), None);
}

#[test]
fn a_smaller_retention_evicts_in_portions_and_bounds_the_log_from_then_on() {
    let mut log = filled(log_of(10), &["1", "2", "3", "4", "5", "6"]);
    let two = Retention { events: 2, ..MANY };
    let now = Instant::now();

    assert!(!log.retain(two, now, 3), "one more is beyond it");
    assert_eq!(ids_from(&log, log.start()), ["4", "5", "6"]);
    assert!(log.retain(two, now, 3));
    log.append(event("7"));

    assert_eq!(ids_from(&log, log.start()), ["6", "7"]);
    assert_eq!((log.lookup("3"), log.lookup("6")), (IdLookup::Evicted, IdLookup::Found(Offset(6))));
}

#[test]
fn a_larger_retention_keeps_more_from_then_on() {
    let mut log = filled(log_of(2), &["1", "2", "3"]);

    assert!(log.retain(Retention { events: 4, ..MANY }, Instant::now(), 1));
    for id in ["4", "5", "6"] {
        log.append(event(id));
    }

    assert_eq!(ids_from(&log, log.start()), ["3", "4", "5", "6"]);
}

proptest! {
    /// The list retains everything, with the log's start beside it. Each answer is computed from the whole list.
    #[test]
    fn the_log_agrees_with_a_list(
        steps in vec((0_u8..6, any::<bool>(), 0_u64..3), 1..80),
        events in 1_usize..6,
        bytes in prop_oneof![Just(1_usize << 20), 20_usize..80],
    ) {
        let retention = Retention { events, bytes, age: Duration::from_secs(4) };
        let mut log = EventLog::new(retention);
        let mut all: Vec<Entry> = Vec::new();
        let mut start = 0;
        let mut now = Instant::now();
        for (id, is_event, seconds) in steps {
            now += Duration::from_secs(seconds);
            let id = if id == 0 { String::new() } else { id.to_string() };
            let kind =
                if is_event { EntryKind::Event { fingerprint: 0, has_own_id: true, type_fingerprint: 0 } } else { EntryKind::Control };
            all.push(entry(&id, kind, now));
            log.append(all.last().unwrap().clone());
            loop {
                let kept = &all[start..];
                let is_over = kept.iter().filter(|entry| entry.is_event()).count() > events
                    || kept.len() > 2 * events
                    || kept.iter().map(|entry| entry.frame.len()).sum::<usize>() > bytes;
                let is_old = kept.first().is_some_and(|entry| now - entry.at > retention.age);
                if !(is_old || (is_over && kept.len() > 1)) {
                    break;
                }
                start += 1;
            }

            prop_assert_eq!(log.start(), Offset(start as u64));
            prop_assert_eq!(log.end(), Offset(all.len() as u64));
            let count = |entries: &[Entry]| entries.iter().filter(|entry| entry.is_event()).count() as u64;
            for at in 0..=all.len() {
                let place = Offset(at as u64);
                match log.entries_from(place, count(&all[..at])) {
                    Ok(read) => {
                        let read: Vec<_> = read.map(|entry| entry.frame.body()).collect();
                        let expected: Vec<_> = all[at..].iter().map(|entry| entry.frame.body()).collect();
                        prop_assert_eq!(read, expected);
                        prop_assert_eq!(log.events_after(place), count(&all[at..]));
                        prop_assert_eq!(log.events_until(place), count(&all[..at]));
                        let id = at.checked_sub(1).map_or("", |before| all[before].id.as_str());
                        prop_assert_eq!(log.id_at(place).as_str(), id);
                    }
                    Err(lagged) => {
                        prop_assert!(at < start);
                        prop_assert_eq!(lagged.missed, count(&all[at..start]));
                    }
                }
            }
            for at in (start + 1..=all.len()).filter(|&at| log.is_exact_at(Offset(at as u64))) {
                prop_assert_eq!(all[..at].iter().filter(|entry| entry.id == all[at - 1].id).count(), 1);
            }
            for id in ["1", "2", "3", "4", "5"] {
                let is_kept = all[start..].iter().any(|entry| entry.id.as_str() == id);
                let gone = all[..start].iter().filter(|entry| entry.id.as_str() == id).count();
                let is_newest_gone = start > 0 && all[start - 1].id.as_str() == id;
                if !is_kept && gone == 1 && is_newest_gone {
                    prop_assert_eq!(log.lookup(id), IdLookup::Found(Offset(start as u64)));
                    continue;
                }
                match log.lookup(id) {
                    IdLookup::Found(place) => {
                        let oldest = start + all[start..].iter().position(|entry| entry.id.as_str() == id).unwrap();
                        let is_cut = oldest == start && start > 0 && all[start - 1].id.as_str() == id;
                        if is_cut {
                            let run = all[..start].iter().rposition(|entry| entry.id.as_str() != id);
                            let first = run.map_or(0, |other| other + 1);
                            prop_assert_eq!(count(&all[first + 1..start]), 0);
                            prop_assert_eq!(place, Offset(start as u64));
                        } else {
                            prop_assert_eq!(place, Offset(oldest as u64 + 1));
                        }
                    }
                    IdLookup::Evicted => {
                        prop_assert!(all[..start].iter().any(|entry| entry.id.as_str() == id));
                    }
                    IdLookup::Unknown => prop_assert!(all.iter().all(|entry| entry.id.as_str() != id)),
                }
            }
        }
    }
}
