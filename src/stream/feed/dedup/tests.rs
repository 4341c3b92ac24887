//! Tests of the deduplication: examples, and random sequences of interruptions and repetitions.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::stream::{Ids, Retention};

/// A log, the state that feeds it, and the number of gaps.
pub(super) struct Feed {
    pub(super) dedup: ReconnectDedup,
    pub(super) log: EventLog,
    minter: IdMinter,
    pub(super) gaps: usize,
}

impl Feed {
    pub(super) fn new(ids: Ids) -> Self {
        Self::retaining(ids, Retention::default().events)
    }

    /// Creates a feed whose log retains so many events.
    pub(super) fn retaining(ids: Ids, events: usize) -> Self {
        Self {
            dedup: ReconnectDedup::new(
                |verdict, _| {
                    let mut encoder = Encoder::new();
                    encoder.comment(&verdict.to_string());
                    Some(encoder.finish())
                },
                Fingerprints::random(),
            ),
            log: EventLog::new(Retention { events, ..Retention::default() }),
            minter: IdMinter::new(ids),
            gaps: 0,
        }
    }

    pub(super) fn take(&mut self, items: Vec<Item>) -> &mut Self {
        for item in items {
            let accepted = self.dedup.accept(vec![item], &self.log, &self.minter, Instant::now());
            self.gaps += accepted.gaps.len();
            for entry in accepted.entries {
                self.log.append(entry);
            }
        }
        self
    }

    fn reconnected(&mut self) -> &mut Self {
        self.dedup.reconnected(Continuity::Unknown);
        self
    }

    /// Returns the frames in the log, with minted epochs shortened to `e`.
    pub(super) fn sent(&self) -> Vec<String> {
        let entries = self.log.entries_from(self.log.start(), 0).expect("the start");
        let text = |frame: &Frame| String::from_utf8(frame.body().to_vec()).expect("text");
        let epoch = self.minter.mint(0, false).map(|id| id.as_str().replace("-0", "-"));
        entries
            .map(|entry| {
                let text = text(&entry.frame).trim_end().replace('\n', "|");
                epoch.as_ref().map_or(text.clone(), |epoch| text.replace(epoch, "e-"))
            })
            .collect()
    }
}

pub(super) fn named(id: &str, data: &str) -> Item {
    Item::Event(Event { kind: String::new(), data: data.to_owned(), id: Some(EventId::new(id).unwrap()) })
}

pub(super) fn nameless(data: &str) -> Item {
    Item::Event(Event { kind: String::new(), data: data.to_owned(), id: None })
}

pub(super) fn id_alone(id: &str) -> Item {
    Item::Id(EventId::new(id).unwrap())
}

pub(super) const GAP: &str = ": gap;reason=upstream";

#[test]
fn ids_of_the_upstream_are_unchanged_and_stay_in_force() {
    let mut feed = Feed::new(Ids::Keep);

    feed.take(vec![named("1", "a"), nameless("b"), named("", "c"), nameless("d")]);

    assert_eq!(feed.sent(), ["id: 1|data: a", "data: b", "id: |data: c", "data: d"]);
    let in_force: Vec<_> = (1..=4).map(|at| feed.log.id_at(Offset(at)).to_string()).collect();
    assert_eq!(in_force, ["1", "1", "", ""]);
    assert_eq!(feed.dedup.upstream_id(), None);
}

#[test]
fn fill_mints_ids_for_events_without_one() {
    let mut feed = Feed::new(Ids::Fill);

    feed.take(vec![nameless("a"), named("7", "b"), nameless("c"), named("", "d")]);

    assert_eq!(feed.sent(), ["id: e-1|data: a", "id: 7|data: b", "id: e-3|data: c", "id: e-4|data: d"]);
}

#[test]
fn replace_mints_all_ids_and_the_upstream_gets_its_own() {
    let mut feed = Feed::new(Ids::Replace);

    feed.take(vec![named("7", "a"), id_alone("8"), nameless("b")]);

    assert_eq!(feed.sent(), ["id: e-1|data: a", "id: e-2|data: b"]);
    assert_eq!(feed.dedup.upstream_id().unwrap().as_str(), "8");
}

#[test]
fn an_id_without_an_event_moves_the_position() {
    let mut feed = Feed::new(Ids::Keep);

    feed.take(vec![named("1", "a"), id_alone("2"), id_alone("2"), id_alone("")]);

    assert_eq!(feed.sent(), ["id: 1|data: a", "id: 2", "id:"]);
    assert_eq!(feed.log.events(), 1);
}

#[test]
fn nothing_is_removed_within_one_connection() {
    let mut feed = Feed::new(Ids::Keep);

    feed.take(vec![named("1", "a"), named("1", "a"), named("1", "a")]);

    assert_eq!(feed.log.events(), 3);
}

#[test]
fn a_repetition_is_removed_and_proves_continuity() {
    let mut feed = Feed::new(Ids::Keep);
    feed.take(vec![named("1", "a"), nameless("b"), named("2", "c"), nameless("d")]);

    feed.reconnected().take(vec![named("1", "a"), nameless("b"), named("2", "c"), nameless("d"), nameless("e")]);

    assert_eq!(feed.gaps, 0);
    assert_eq!(feed.sent()[4..], ["data: e"]);
}

#[test]
fn a_repetition_may_begin_in_the_middle() {
    for ids in [Ids::Keep, Ids::Fill, Ids::Replace] {
        let mut feed = Feed::new(ids);
        feed.take(vec![named("1", "a"), named("2", "b"), named("3", "c")]);

        feed.reconnected().take(vec![named("2", "b"), named("3", "c"), named("4", "d")]);

        assert_eq!((feed.gaps, feed.log.events()), (0, 4), "{ids:?}");
    }
}

#[test]
fn a_repetition_that_diverges_is_one_gap() {
    let mut feed = Feed::new(Ids::Keep);
    feed.take(vec![named("1", "a"), named("2", "b"), named("3", "c")]);

    feed.reconnected().take(vec![named("1", "a"), named("3", "c"), named("4", "d")]);

    assert_eq!(feed.gaps, 1);
    assert_eq!(feed.sent()[3..], [GAP, "id: 3|data: c", "id: 4|data: d"]);
}

#[test]
fn the_same_id_with_other_data_is_another_event() {
    let mut feed = Feed::new(Ids::Keep);
    feed.take(vec![named("1", "a")]);

    feed.reconnected().take(vec![named("1", "b"), named("2", "c")]);

    assert_eq!(feed.gaps, 1);
    assert_eq!(feed.sent()[1..], [GAP, "id: 1|data: b", "id: 2|data: c"]);
}

#[test]
fn events_without_ids_prove_nothing() {
    let mut feed = Feed::new(Ids::Fill);
    feed.take(vec![nameless("a"), nameless("b")]);

    feed.reconnected().take(vec![nameless("a")]);

    assert_eq!(feed.sent(), ["id: e-1|data: a", "id: e-2|data: b", GAP, "id: e-3|data: a"]);
}

#[test]
fn an_upstream_that_confirms_continuity_is_trusted() {
    let mut feed = Feed::new(Ids::Keep);
    feed.take(vec![named("1", "a")]);
    feed.dedup.reconnected(Continuity::Continued);
    feed.take(vec![named("2", "b")]);
    assert_eq!(feed.gaps, 0);

    // The upstream names the requested id before anything else.
    feed.reconnected().take(vec![id_alone("2"), named("3", "c")]);

    assert_eq!(feed.gaps, 0);
    assert_eq!(feed.sent(), ["id: 1|data: a", "id: 2|data: b", "id: 3|data: c"]);
}

#[test]
fn repeated_ids_do_not_move_clients_back() {
    let mut feed = Feed::new(Ids::Keep);
    let history = || vec![named("1", "a"), id_alone("2"), named("3", "b")];
    feed.take(history());

    feed.reconnected().take(vec![id_alone("0")]).take(history()).take(vec![nameless("c")]);

    assert_eq!(feed.gaps, 0);
    assert_eq!(feed.sent()[3..], ["data: c"]);
    assert_eq!(feed.log.id_at(feed.log.end()).as_str(), "3");
}

#[test]
fn an_interrupted_repetition_does_not_change_the_requested_id() {
    let mut feed = Feed::new(Ids::Keep);
    feed.take(vec![named("1", "a"), named("2", "b"), named("3", "c")]);

    feed.reconnected().take(vec![named("1", "a")]);
    assert_eq!(feed.dedup.upstream_id().unwrap().as_str(), "3");
    feed.reconnected().take(vec![id_alone("3"), named("4", "d")]);

    assert_eq!((feed.gaps, feed.log.events()), (0, 4));
}

#[test]
fn an_id_that_starts_a_connection_is_in_force_after_a_gap() {
    let mut feed = Feed::new(Ids::Keep);
    feed.take(vec![named("1", "a")]);

    feed.reconnected().take(vec![id_alone("9"), nameless("b")]);

    assert_eq!(feed.sent()[1..], [GAP, "id: 9", "data: b"]);
    assert_eq!(feed.dedup.upstream_id().unwrap().as_str(), "9");
}

proptest! {
    #[test]
    fn a_retry_is_never_shorter_than_the_minimum(milliseconds in prop_oneof![0..200_u64, 0..=u64::from(u32::MAX)]) {
        let mut feed = Feed::new(Ids::Keep);
        let items = vec![Item::Retry(Duration::from_millis(milliseconds))];

        let accepted = feed.dedup.accept(items, &feed.log, &feed.minter, Instant::now());

        let expected = milliseconds.max(100);
        let line = format!("retry: {expected}\n");
        prop_assert_eq!(accepted.retry, Some(Duration::from_millis(expected)));
        prop_assert_eq!(&*accepted.entries[0].frame.body(), line.as_bytes());
    }

    /// Events have unique ids. Each connection repeats some past events, continues, and is interrupted anywhere.
    #[test]
    fn clients_see_each_event_once_and_in_order(cuts in vec((0_usize..12, 0_usize..12), 1..12)) {
        let mut feed = Feed::new(Ids::Keep);
        let mut made = 0;
        for (index, (back, length)) in cuts.into_iter().enumerate() {
            if index > 0 {
                feed.reconnected();
            }
            // The log ends at `made`, and the connection starts there or earlier, so nothing is missed.
            let from = made - back.min(made);
            feed.take((from..from + length).map(|number| named(&format!("{}", number + 1), "x")).collect());
            made = made.max(from + length);

            prop_assert_eq!(feed.log.events(), made);
        }

        let events: Vec<_> = feed.sent().into_iter().filter(|text| text != GAP).collect();
        let expected: Vec<_> = (1..=made).map(|number| format!("id: {number}|data: x")).collect();
        prop_assert_eq!(events, expected);
    }
}

/// Returns the comment of an upstream rillgate that states a gap.
fn stated_gap(reason: &str) -> Item {
    Item::Comment(format!("gap;reason={reason}").into())
}

#[test]
fn a_gap_after_the_newest_event_is_told_once_however_often_the_upstream_repeats_it() {
    let mut feed = Feed::new(Ids::Keep);
    feed.take(vec![named("1", "a"), stated_gap("upstream")]);

    for _ in 0..3 {
        feed.dedup.id_to_request(&feed.log, |_| false);
        feed.dedup.reconnected(Continuity::Continued);
        feed.take(vec![stated_gap("upstream")]);
    }

    assert_eq!(feed.gaps, 1);
    // One that the upstream states beyond those that it repeats is new, and so is one after an event.
    feed.take(vec![stated_gap("upstream")]);
    assert_eq!(feed.gaps, 2);
    feed.dedup.id_to_request(&feed.log, |_| false);
    feed.dedup.reconnected(Continuity::Continued);
    feed.take(vec![named("2", "b"), stated_gap("upstream")]);
    assert_eq!(feed.sent(), ["id: 1|data: a", GAP, GAP, "id: 2|data: b", GAP]);
}

#[test]
fn a_gap_for_another_reason_than_the_known_one_is_told() {
    let mut feed = Feed::new(Ids::Keep);
    feed.take(vec![named("1", "a"), stated_gap("upstream")]);

    feed.dedup.id_to_request(&feed.log, |_| false);
    feed.dedup.reconnected(Continuity::Continued);
    feed.take(vec![stated_gap("too_large")]);

    assert_eq!(feed.gaps, 2);
}
