//! Tests of reconnects that ask for the last event with an id again.

use super::tests::{Feed, GAP, id_alone, named, nameless};
use super::*;
use crate::stream::Ids;

impl Feed {
    /// Reconnects with an overlap. Returns the id that is asked for.
    fn overlap(&mut self, continuity: Continuity) -> Option<String> {
        let after = self.dedup.id_to_request(&self.log, |_| true);
        self.dedup.reconnected(continuity);
        after.map(|id| id.to_string())
    }
}

#[test]
fn the_last_event_again_proves_continuity() {
    for continuity in [Continuity::Unknown, Continuity::Continued, Continuity::Gap] {
        let mut feed = Feed::new(Ids::Keep);
        feed.take(vec![named("1", "a"), named("2", "b")]);

        assert_eq!(feed.overlap(continuity).as_deref(), Some("1"));
        feed.take(vec![named("2", "b"), named("3", "c")]);

        assert_eq!(feed.sent(), ["id: 1|data: a", "id: 2|data: b", "id: 3|data: c"], "{continuity:?}");
    }
}

#[test]
fn an_upstream_that_does_not_send_the_last_event_again_has_a_gap() {
    for continuity in [Continuity::Unknown, Continuity::Continued, Continuity::Gap] {
        let mut feed = Feed::new(Ids::Keep);
        feed.take(vec![named("1", "a"), named("2", "b")]);

        feed.overlap(continuity);
        feed.take(vec![named("4", "d")]);

        assert_eq!(feed.sent(), ["id: 1|data: a", "id: 2|data: b", GAP, "id: 4|data: d"], "{continuity:?}");
    }
}

#[test]
fn a_verdict_that_resumes_does_not_replace_the_proof() {
    let mut feed = Feed::new(Ids::Keep);
    feed.take(vec![named("1", "a"), named("2", "b")]);

    feed.overlap(Continuity::Unknown);
    feed.take(vec![Item::Comment("resumed;missed=1".into()), id_alone("1"), named("2", "b"), named("3", "c")]);

    assert_eq!(feed.sent(), ["id: 1|data: a", "id: 2|data: b", "id: 3|data: c"]);
}

#[test]
fn events_without_an_id_are_repeated_with_their_run() {
    let mut feed = Feed::new(Ids::Keep);
    feed.take(vec![named("1", "a"), nameless("b"), named("2", "c"), nameless("d")]);
    let before = feed.sent();

    feed.overlap(Continuity::Unknown);
    feed.take(vec![nameless("b"), named("2", "c"), nameless("d"), nameless("e")]);

    assert_eq!(feed.sent(), [before, vec!["data: e".to_owned()]].concat());
    // An equal event at the wrong place proves nothing.
    feed.overlap(Continuity::Unknown);
    feed.take(vec![nameless("d")]);
    assert_eq!(feed.gaps, 1);
}

#[test]
fn an_event_that_was_too_large_is_reported_once() {
    let mut feed = Feed::new(Ids::Keep);
    let too_large = || Item::Skipped(Some(EventId::new("3").unwrap()));
    feed.take(vec![named("1", "a"), named("2", "b"), too_large()]);

    assert_eq!(feed.overlap(Continuity::Unknown).as_deref(), Some("1"));
    feed.take(vec![named("2", "b"), too_large(), named("4", "d")]);

    assert_eq!(feed.gaps, 1);
    assert_eq!(feed.dedup.upstream_id().unwrap().as_str(), "4");
    assert_eq!(feed.overlap(Continuity::Unknown).as_deref(), Some("3"));
}

#[test]
fn an_expired_log_still_recognizes_the_last_event() {
    let mut feed = Feed::new(Ids::Keep);
    feed.take(vec![named("1", "a"), named("2", "b")]);
    feed.log.expire(Instant::now() + Duration::from_secs(86_400));
    assert_eq!(feed.log.events(), 0);

    assert_eq!(feed.overlap(Continuity::Unknown).as_deref(), Some("1"));
    feed.take(vec![named("2", "b"), named("3", "c")]);

    assert_eq!(feed.sent(), ["id: 3|data: c"]);
}

#[test]
fn a_run_of_events_without_an_id_that_was_evicted_is_not_asked_for_again() {
    let mut feed = Feed::new(Ids::Keep);
    feed.take(vec![named("1", "a"), nameless("b"), named("2", "c")]);
    feed.log.expire(Instant::now() + Duration::from_secs(86_400));

    assert_eq!(feed.overlap(Continuity::Continued).as_deref(), Some("2"));
    feed.take(vec![named("3", "d")]);

    assert_eq!(feed.sent(), ["id: 3|data: d"]);
}

#[test]
fn a_run_whose_beginning_was_evicted_is_not_asked_for_again() {
    let mut feed = Feed::retaining(Ids::Keep, 3);
    feed.take(vec![named("1", "a"), nameless("b"), nameless("c"), named("2", "d")]);
    assert_eq!(feed.overlap(Continuity::Continued).as_deref(), Some("1"), "only the first event is gone");

    let mut feed = Feed::retaining(Ids::Keep, 2);
    feed.take(vec![named("1", "a"), nameless("b"), nameless("c"), named("2", "d")]);
    assert_eq!(feed.overlap(Continuity::Continued).as_deref(), Some("2"));
}

#[test]
fn an_id_alone_that_clients_do_not_see_begins_a_run() {
    let mut feed = Feed::new(Ids::Replace);
    feed.take(vec![named("0", "z"), id_alone("1"), nameless("a"), named("2", "b")]);

    assert_eq!(feed.overlap(Continuity::Unknown).as_deref(), Some("1"));
    feed.take(vec![nameless("a"), named("2", "b"), named("3", "c")]);

    assert_eq!((feed.gaps, feed.log.events()), (0, 4));
}

#[test]
fn without_an_id_before_the_last_event_the_upstream_is_asked_after_it() {
    let mut feed = Feed::new(Ids::Keep);
    assert_eq!(feed.dedup.id_to_request(&feed.log, |_| true), None);

    feed.take(vec![named("1", "a")]);

    assert_eq!(feed.overlap(Continuity::Unknown).as_deref(), Some("1"));
    feed.take(vec![named("2", "b")]);
    assert_eq!(feed.gaps, 1);
    assert_eq!(feed.overlap(Continuity::Unknown).as_deref(), Some("1"));
    assert_eq!(feed.dedup.id_to_request(&feed.log, |_| false), feed.dedup.upstream_id());
}

#[test]
fn a_restored_stream_knows_the_id_before_its_last_event() {
    let mut feed = Feed::new(Ids::Replace);
    feed.take(vec![named("1", "a"), nameless("b"), named("2", "c"), id_alone("2")]);

    feed.dedup = ReconnectDedup::restored_from(&feed.log, |_, _| None, feed.dedup.fingerprints);

    assert_eq!(feed.overlap(Continuity::Unknown).as_deref(), Some("1"));
    feed.take(vec![nameless("b"), named("2", "c"), named("3", "d")]);
    assert_eq!((feed.gaps, feed.log.events()), (0, 4));
}
