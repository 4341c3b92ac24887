//! The events that one client has seen, checked against those that its producer sent.
//!
//! Always true: each event is checked once, in the order in which the client dispatched it. A reported gap moves the
//! client to the position that it names, and the next event must be the one after that position.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::AddAssign;

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
    pub figures: Figures,
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
            figures: Figures::default(),
        }
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
        let Some(number) = event
            .last_event_id
            .parse::<u64>()
            .ok()
            .filter(|number| recorded_producer::event(self.seed, *number) == *event)
        else {
            self.figures.damaged += 1;
            return note(&mut self.figures.wrong, format!("not said by the producer: {event:?}"));
        };
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
    fn a_reported_gap_excuses_only_that_gap() {
        let after = |gap: Event, rest: &[u64]| judge(numbers(&[5, 6]).into_iter().chain([gap]).chain(numbers(rest)));
        assert_eq!(after(told("evicted", "8"), &[9, 10]), [0, 0, 0, 0]);
        assert_eq!(after(told("unknown", "2"), &[3, 4, 5, 6]), [0, 0, 0, 0], "back to the oldest");
        assert_eq!(after(told("evicted", "8"), &[10]), [1, 0, 0, 0]);
        assert_eq!(after(told("upstream", "6"), &[9, 10]), [0, 0, 0, 0]);
        assert_eq!(after(told("upstream", "6"), &[9, 11]), [1, 0, 0, 0]);
    }
}
