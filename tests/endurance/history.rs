//! The events that one client has seen, checked against those that its producer sent.
//!
//! Always true: each event is checked once, in the order in which the client dispatched it. A reported gap moves the
//! client to the position that it names, and the next event must be the one after that position.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex};

use super::recorded_producer;
use crate::support::event_source::Event;

/// The events of one client, as counts.
#[derive(Debug)]
pub struct History {
    seed: u64,
    next: Option<u64>,
    /// The id of the last dispatched event of any type.
    position: String,
    missing: BTreeSet<u64>,
    /// The upstream returned without proof of continuity, so the next event may have any number.
    is_excused: bool,
    /// Of a stream whose ids a gateway mints. `None`: the producer's ids are kept.
    minted: Option<Arc<MintedIds>>,
    pub figures: Figures,
}

/// The number of the event that each minted id of a stream names, as far as any client has seen it.
#[derive(Debug, Default)]
pub struct MintedIds(Mutex<HashMap<String, u64>>);

impl MintedIds {
    /// Whether this id names this event and no other.
    fn names(&self, id: &str, number: u64) -> bool {
        !id.is_empty() && *self.0.lock().unwrap().entry(id.to_owned()).or_insert(number) == number
    }

    /// Returns the number of ids.
    #[allow(dead_code, reason = "the tests of several gateways use it")]
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// The errors in a history, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub events: u64,
    /// Events that are missing without a reported gap.
    pub lost: u64,
    pub repeated: u64,
    pub reordered: u64,
    /// Events that differ from the producer's.
    pub damaged: u64,
    /// Gaps that were reported to the client.
    pub gaps: u64,
    /// Responses of this client.
    pub responses: u64,
    /// Responses with a status other than 200.
    pub refusals: u64,
    /// The first reported gaps, described.
    pub reported: Vec<String>,
    /// The first errors, described.
    pub wrong: Vec<String>,
}

impl History {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            next: None,
            position: String::new(),
            missing: BTreeSet::new(),
            is_excused: false,
            minted: None,
            figures: Figures::default(),
        }
    }

    /// Checks a stream whose ids a gateway mints: each names one event for ever.
    #[allow(dead_code, reason = "the tests of several gateways use it")]
    pub fn of_minted(seed: u64, ids: Arc<MintedIds>) -> Self {
        Self { minted: Some(ids), ..Self::new(seed) }
    }

    /// Returns the last event id that an event source would send; empty before the first.
    pub fn last_event_id(&self) -> &str {
        &self.position
    }

    /// Whether every event up to this one has arrived.
    pub fn has_reached(&self, number: u64) -> bool {
        self.next.is_some_and(|next| next > number)
    }

    /// Checks the next event.
    pub fn take(&mut self, event: &Event) {
        self.position.clone_from(&event.last_event_id);
        if event.kind == "rillgate.resume" {
            return self.told(event);
        }
        self.figures.events += 1;
        let Some(number) = self.number(event) else {
            self.figures.damaged += 1;
            return note(&mut self.figures.wrong, format!("not said by the producer: {event:?}"));
        };
        if self.minted.as_ref().is_some_and(|ids| !ids.names(&event.last_event_id, number)) {
            self.figures.damaged += 1;
            note(&mut self.figures.wrong, format!("its id names another event, or there is none: {event:?}"));
        }
        let is_excused = std::mem::take(&mut self.is_excused);
        let expected = self.next.unwrap_or(number);
        self.next = Some(number + 1);
        if is_excused || number == expected {
            return;
        }
        if number > expected {
            self.missing.extend(expected..number);
            self.figures.lost += number - expected;
            note(&mut self.figures.wrong, format!("{number} instead of {expected}"));
        } else {
            self.next = Some(expected);
            let late = self.missing.remove(&number);
            self.figures.lost -= u64::from(late);
            self.figures.reordered += u64::from(late);
            self.figures.repeated += u64::from(!late);
            note(&mut self.figures.wrong, format!("{number} again, before {expected}"));
        }
    }

    /// Returns the number of an event that the producer has sent.
    fn number(&self, event: &Event) -> Option<u64> {
        let number = match self.minted {
            Some(_) => event.data.split(' ').next().unwrap_or_default(),
            None => &event.last_event_id,
        };
        let sent = recorded_producer::event(self.seed, number.parse().ok()?);
        let is_same = sent.kind == event.kind && sent.data == event.data;
        (is_same && (self.minted.is_some() || sent.last_event_id == event.last_event_id))
            .then_some(number.parse().ok()?)
    }

    /// Applies a verdict, which may move the client's position.
    fn told(&mut self, event: &Event) {
        // A client that has seen no event yet has lost none.
        if let Some(expected) = self.next.filter(|_| event.data.contains("\"gap\"")) {
            self.figures.gaps += 1;
            let told = format!("after {}, expecting {expected}: {}", event.last_event_id, event.data);
            note(&mut self.figures.reported, told);
        }
        let place = event.last_event_id.parse::<u64>().ok().map(|id| id + 1);
        if event.data.contains("\"upstream\"") {
            self.is_excused = true;
        } else if event.data.contains("\"gap\"") || self.next.is_none() {
            self.next = place;
        }
    }
}

/// Keeps the first few notes of a client.
fn note(notes: &mut Vec<String>, what: String) {
    if notes.len() < 5 {
        notes.push(what);
    }
}

impl Figures {
    /// Whether there is no error.
    pub fn is_right(&self) -> bool {
        self.lost + self.repeated + self.reordered + self.damaged == 0 && self.wrong.is_empty()
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.damaged += other.damaged;
        self.gaps += other.gaps;
        self.responses += other.responses;
        self.refusals += other.refusals;
        self.reported.extend(other.reported);
        self.reported.truncate(20);
        self.wrong.extend(other.wrong);
        self.wrong.truncate(20);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, lost, repeated, reordered, damaged, gaps, responses, refusals, .. } = self;
        write!(
            out,
            "{events} events in {responses} responses ({refusals} refusals): lost {lost}, repeated {repeated}, reordered {reordered}, \
             damaged {damaged}; gaps told {gaps}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reason: &str, place: &str) -> Event {
        let data = format!(r#"{{"resume":"gap","reason":"{reason}"}}"#);
        Event { kind: "rillgate.resume".into(), data, last_event_id: place.into() }
    }

    fn judge(events: impl IntoIterator<Item = Event>) -> [u64; 4] {
        let mut history = History::new(7);
        for event in events {
            history.take(&event);
        }
        let Figures { lost, repeated, reordered, damaged, .. } = history.figures;
        [lost, repeated, reordered, damaged]
    }

    fn numbers(numbers: &[u64]) -> Vec<Event> {
        numbers.iter().map(|&number| recorded_producer::event(7, number)).collect()
    }

    #[test]
    fn the_checker_detects_lost_repeated_reordered_and_damaged_events() {
        assert_eq!(judge(numbers(&[5, 6, 7, 8])), [0, 0, 0, 0]);
        assert_eq!(judge(numbers(&[5, 6, 9, 10])), [2, 0, 0, 0]);
        assert_eq!(judge(numbers(&[5, 6, 6, 7])), [0, 1, 0, 0]);
        assert_eq!(judge(numbers(&[5, 7, 6, 8])), [0, 0, 1, 0]);
        assert_eq!(judge([Event { data: "5 of 8".into(), ..recorded_producer::event(7, 5) }]), [0, 0, 0, 1]);
    }

    #[test]
    fn the_checker_detects_a_minted_id_that_names_two_events() {
        let ids = Arc::<MintedIds>::default();
        let minted = |id: &str, number| Event { last_event_id: id.into(), ..recorded_producer::event(7, number) };
        let damaged = |events: [Event; 2]| {
            let mut history = History::of_minted(7, ids.clone());
            events.iter().for_each(|event| history.take(event));
            history.figures.damaged
        };

        assert_eq!(damaged([minted("a", 5), minted("b", 6)]), 0);
        assert_eq!(damaged([minted("b", 6), minted("c", 7)]), 0, "another client");
        assert_eq!(damaged([minted("c", 7), minted("a", 8)]), 1, "another client again");
        assert_eq!(damaged([minted("d", 8), minted("", 9)]), 1);
    }

    #[test]
    fn a_reported_gap_excuses_only_that_gap() {
        let after = |gap: Event, rest: &[u64]| judge(numbers(&[5, 6]).into_iter().chain([gap]).chain(numbers(rest)));
        assert_eq!(after(told("evicted", "8"), &[9, 10]), [0, 0, 0, 0]);
        assert_eq!(after(told("unknown", "2"), &[3, 4, 5, 6]), [0, 0, 0, 0], "back to the oldest");
        assert_eq!(after(told("evicted", "8"), &[10]), [1, 0, 0, 0]);
        assert_eq!(after(told("upstream", "6"), &[9, 10]), [0, 0, 0, 0]);
        assert_eq!(after(told("upstream", "6"), &[9, 11]), [1, 0, 0, 0]);
    }
}
