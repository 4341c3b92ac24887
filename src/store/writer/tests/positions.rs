//! Tests of the position that is stored, for logs that have evicted entries.

use super::*;

#[test]
fn a_client_with_the_last_of_only_expired_events_has_missed_nothing() {
    for is_closed in [true, false] {
        let mut fixture = StoreFixture::new(10, 1 << 20);
        fixture.publish(1);
        fixture.publish(1);
        fixture.commit();
        fixture.stream.expire(Instant::now() + fixture.policy.retention.age * 2);
        match is_closed {
            true => fixture.close(),
            false => {
                fixture.writer.inbox.notify_changed(&fixture.handle);
                fixture.commit();
            }
        }

        let stored = fixture.restart().expect("the stored state");
        assert!(stored.snapshot.entries.is_empty());
        fixture.stream.restore(stored, Instant::now());

        let log = fixture.stream.log();
        assert_eq!((log.lookup("1"), log.lookup("0")), (IdLookup::Found(log.end()), IdLookup::Unknown));
    }
}

#[test]
fn a_client_with_the_event_before_the_stored_ones_misses_exactly_those() {
    let mut fixture = StoreFixture::new(2, 1 << 20);
    for _ in 0..4 {
        fixture.publish(1);
        fixture.commit();
    }

    let stored = fixture.restart().expect("the stored state");
    fixture.stream.restore(stored, Instant::now());

    let log = fixture.stream.log();
    assert_eq!((log.lookup("1"), log.lookup("0")), (IdLookup::Found(log.start()), IdLookup::Unknown));
    assert_eq!(log.events(), 2);
}

#[test]
fn a_log_that_was_emptied_before_its_entries_were_stored_is_written_once() {
    let mut fixture = StoreFixture::new(10, 1 << 20);
    fixture.publish(1);
    fixture.commit();
    fixture.publish(1);
    fixture.publish(1);
    fixture.stream.expire(Instant::now() + fixture.policy.retention.age * 2);

    fixture.commit();

    assert!(fixture.writer.streams.unfinished.is_empty(), "nothing is left to be written");
    let stored = fixture.restart().expect("the stored state");
    assert_eq!((stored.snapshot.entries.len(), stored.snapshot.events_before), (0, 3));
    fixture.stream.restore(stored, Instant::now());
    let log = fixture.stream.log();
    assert_eq!((log.lookup("2"), log.lookup("1")), (IdLookup::Found(log.end()), IdLookup::Unknown));
}

#[test]
fn events_that_follow_a_log_that_was_emptied_before_are_stored_after_its_position() {
    let mut fixture = StoreFixture::new(10, 1 << 20);
    fixture.publish(1);
    fixture.commit();
    fixture.publish(1);
    fixture.stream.expire(Instant::now() + fixture.policy.retention.age * 2);
    fixture.commit();
    fixture.publish(1);
    fixture.commit();

    let stored = fixture.restart();

    assert_eq!(stored.as_ref().map(|stored| stored.snapshot.entries.len()), Some(1));
    fixture.resume(stored, false);
}
