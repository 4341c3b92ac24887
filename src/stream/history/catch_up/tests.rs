//! Tests of joining history to the log: examples, and random histories, logs and upstreams.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::stream::log::{Entry, EntryKind, IdLookup, Retention};

const LIMIT: CatchUpLimit = CatchUpLimit { events: 10_000, bytes: 1 << 20, concurrent: 1 };

/// Returns all events of a producer. `false` stands for an event without an id.
fn past(named: &[bool]) -> Vec<Event> {
    named
        .iter()
        .enumerate()
        .map(|(number, is_named)| Event {
            id: is_named.then(|| EventId::new(number.to_string()).unwrap()),
            // Events without an id are all equal.
            data: if *is_named { format!("event {number}") } else { "tick".to_owned() },
            ..Event::default()
        })
        .collect()
}

/// A stream's log, fed by a connection that started somewhere in the past.
struct Fixture {
    past: Vec<Event>,
    /// The next event of the stream's own connection.
    next: usize,
    log: EventLog,
    fingerprints: Fingerprints,
    id: EventId,
}

impl Fixture {
    fn new(past: Vec<Event>, connected_at: usize, keeps: usize) -> Self {
        let retention = Retention { events: keeps, bytes: 1 << 20, age: Duration::from_secs(600) };
        let (log, fingerprints) = (EventLog::new(retention), Fingerprints::random());
        Self { past, next: connected_at, log, fingerprints, id: EventId::default() }
    }

    fn ingest(&mut self, count: usize) {
        for _ in 0..count {
            let Some(event) = self.past.get(self.next) else { return };
            self.next += 1;
            self.id = event.id.clone().unwrap_or_else(|| self.id.clone());
            self.log.append(Entry {
                frame: Frame::from(event),
                id: self.id.clone(),
                source_id: self.id.clone(),
                kind: EntryKind::Event {
                    fingerprint: self.fingerprints.event(event),
                    has_own_id: event.id.is_some(),
                    type_fingerprint: 0,
                },
                at: Instant::now(),
            });
        }
    }

    fn catch_up(&self, after: &str) -> CatchUp {
        let was_evicted = self.log.lookup(after) == IdLookup::Evicted;
        let after = EventId::new(after).unwrap();
        CatchUp::new(after, was_evicted, self.log.end(), LIMIT, self.fingerprints)
    }

    /// Returns everything that a caught-up client has received by now.
    fn delivered(&self, caught_up: &CaughtUp) -> Option<Vec<String>> {
        let mut overlap = caught_up.replay_check.clone();
        let mut is_overlapping = !overlap.is_empty();
        let log = self.log.entries_from(caught_up.offset, caught_up.events_read).ok()?.filter(|entry| {
            if let EntryKind::Event { fingerprint, has_own_id, .. } = entry.kind {
                is_overlapping = is_overlapping && overlap.matches(fingerprint, has_own_id);
            }
            !is_overlapping
        });
        let frames = caught_up.frames.iter().map(|(frame, _)| frame.clone());
        Some(frames.chain(log.map(|entry| entry.frame.clone())).map(|frame| text(&frame)).collect())
    }
}

fn text(frame: &Frame) -> String {
    String::from_utf8(frame.body().to_vec()).unwrap()
}

fn texts(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| text(&Frame::from(event))).collect()
}

fn one(event: &Event) -> Batch {
    Batch { items: vec![Item::Event(event.clone())], bytes: 10, ..Batch::default() }
}

#[derive(Clone, Copy, Debug)]
enum Producer {
    /// Continues after the requested id.
    Resumes,
    /// Sends everything from the beginning, every time.
    Begins,
    /// Sends only what comes from now on.
    Ignores,
}

proptest! {
    #[test]
    fn a_client_gets_each_event_once_or_is_told_of_a_gap(
        named in vec(prop::bool::weighted(0.8), 2..60),
        (connected_at, had, keeps, now) in (0_usize..60, 0_usize..60, 1_usize..20, 0_usize..60),
        after in any::<prop::sample::Index>(),
        producer in prop_oneof![Just(Producer::Resumes), Just(Producer::Begins), Just(Producer::Ignores)],
        steps in vec(0_u8..8, 0..150),
    ) {
        let past = past(&named);
        let after = after.index(past.len());
        prop_assume!(named[after]);
        let connected_at = connected_at.min(past.len());
        let mut fixture = Fixture::new(past.clone(), connected_at, keeps);
        fixture.ingest(had);
        let id = after.to_string();
        prop_assume!(!matches!(fixture.log.lookup(&id), IdLookup::Found(_)));
        // The log must have passed the id already.
        prop_assume!(after < fixture.next);
        let mut catch_up = fixture.catch_up(&id);
        // The producer has sent at least what the stream's own connection has received.
        let now = now.max(fixture.next).min(past.len());
        let mut brings = match producer {
            Producer::Resumes => after + 1,
            Producer::Begins => 0,
            Producer::Ignores => now,
        };

        let mut outcome = Ok(None);
        // Whichever connection is ahead, both return everything in the end.
        for step in steps.into_iter().chain([0; 60]).chain([1; 120]) {
            outcome = match step {
                0 | 2 | 3 | 4 => match past.get(brings) {
                    Some(event) => {
                        brings += 1;
                        catch_up.accept(one(event), &fixture.log)
                    }
                    None => Ok(None),
                },
                1 | 5 | 6 => {
                    fixture.ingest(1 + usize::from(step) / 3);
                    catch_up.try_join(&fixture.log)
                }
                // The pause follows the history. During it the stream's own connection receives what was sent before.
                _ if CatchUp::can_finish_without_log(&fixture.log) && brings >= connected_at && named[..brings].last() == Some(&true) => match producer {
                    Producer::Resumes | Producer::Begins => catch_up.finish_without_log(&fixture.log).map(Some),
                    Producer::Ignores => Ok(None),
                },
                _ => Ok(None),
            };
            if !matches!(outcome, Ok(None)) {
                break;
            }
        }

        if let Ok(Some(caught_up)) = &outcome {
            // The log retains everything from now on, so that all of it can be compared.
            let then = fixture.delivered(caught_up).expect("joined to what is there");
            let reached = fixture.next.max(after + 1 + caught_up.frames.len());
            prop_assert_eq!(&then, &texts(&past[after + 1..reached.min(past.len())]), "{:?}", producer);
            prop_assert_eq!(caught_up.events, caught_up.frames.len() as u64);
        }
        let has_history = after + 1 < connected_at && named[after + 1..connected_at].contains(&true);
        let meets = named[connected_at.max(fixture.next.saturating_sub(keeps))..fixture.next].contains(&true);
        if matches!(producer, Producer::Resumes) && has_history && meets {
            prop_assert!(matches!(outcome, Ok(Some(_))), "{:?}", outcome);
        }
        if matches!(producer, Producer::Ignores) {
            prop_assert!(!matches!(outcome, Ok(Some(_))), "{:?}", outcome);
        }
    }

    #[test]
    fn late_events_of_the_streams_own_connection_are_not_duplicated(
        count in 2_usize..60, connected_at in 1_usize..60, caught in 1_usize..60, more in 0_usize..80,
    ) {
        let past = past(&vec![true; count]);
        let connected_at = connected_at.min(count);
        let mut fixture = Fixture::new(past.clone(), connected_at, 100);
        let mut catch_up = fixture.catch_up("0");
        for event in past[1..].iter().take(caught) {
            prop_assert!(catch_up.accept(one(event), &fixture.log).expect("within bounds").is_none());
        }

        let caught_up = catch_up.finish_without_log(&fixture.log).expect("there was history");
        fixture.ingest(more);

        let reached = fixture.next.max(1 + caught.min(count - 1));
        // Neither connection may miss an event: the stream's own one was open before the request was made.
        prop_assume!(connected_at <= 1 + caught);
        prop_assert_eq!(fixture.delivered(&caught_up), Some(texts(&past[1..reached])));
    }
}

fn fixture_with(connected_at: usize, had: usize, keeps: usize) -> Fixture {
    let mut fixture = Fixture::new(past(&[true; 30]), connected_at, keeps);
    fixture.ingest(had);
    fixture
}

fn take(catch_up: &mut CatchUp, fixture: &Fixture, numbers: std::ops::Range<usize>) -> Result<bool, CatchUpError> {
    for number in numbers {
        if catch_up.accept(one(&fixture.past[number]), &fixture.log)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn history_is_joined_at_the_logs_start() {
    let fixture = fixture_with(10, 5, 100);
    let mut catch_up = fixture.catch_up("3");

    assert_eq!(take(&mut catch_up, &fixture, 4..10), Ok(false));
    assert_eq!(take(&mut catch_up, &fixture, 10..11), Ok(true));
}

#[test]
fn a_producer_that_sends_only_what_the_log_has_proves_nothing() {
    for begins in [10, 12] {
        let fixture = fixture_with(10, 5, 100);

        let outcome = take(&mut fixture.catch_up("3"), &fixture, begins..15);

        assert_eq!(outcome, Err(CatchUpError::Unproved), "{begins}");
    }
}

#[test]
fn a_producer_that_sends_the_id_itself_needs_no_other_proof() {
    let fixture = fixture_with(4, 5, 100);
    let mut catch_up = fixture.catch_up("3");
    let id = Batch { items: vec![Item::Id(EventId::new("3").unwrap())], bytes: 7, ..Batch::default() };

    assert!(catch_up.accept(id, &fixture.log).expect("within bounds").is_none());

    assert_eq!(take(&mut catch_up, &fixture, 4..5), Ok(true));
}

#[test]
fn a_log_that_has_evicted_everything_is_joined_at_its_start() {
    let mut fixture = fixture_with(0, 20, 100);
    fixture.log.expire(Instant::now() + Duration::from_secs(700));
    assert_eq!(fixture.log.events(), 0);

    assert_eq!(fixture.log.lookup("19"), IdLookup::Found(fixture.log.start()), "nothing came after it");
    assert_eq!(take(&mut fixture.catch_up("15"), &fixture, 16..20), Ok(true));
}

#[test]
fn events_and_bytes_are_bounded() {
    let fixture = fixture_with(20, 5, 100);
    let limited = |limit| CatchUp { limit, ..fixture.catch_up("3") };

    let of_five = take(&mut limited(CatchUpLimit { events: 5, ..LIMIT }), &fixture, 4..25);
    let of_bytes = take(&mut limited(CatchUpLimit { bytes: 59, ..LIMIT }), &fixture, 4..25);

    assert_eq!((of_five, of_bytes), (Err(CatchUpError::TooLarge), Err(CatchUpError::TooLarge)));
}

#[test]
fn an_empty_response_proves_nothing() {
    let fixture = fixture_with(30, 0, 100);

    let silent = fixture.catch_up("29").finish_without_log(&fixture.log);
    let mut confirmed = fixture.catch_up("29");
    confirmed.confirm_continuity();

    assert_eq!(silent.map(|_| ()), Err(CatchUpError::Unproved));
    assert_eq!(confirmed.finish_without_log(&fixture.log).map(|caught_up| caught_up.events), Ok(0));
}
