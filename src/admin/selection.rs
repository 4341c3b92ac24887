//! The streams that a query chooses, in its order.
//!
//! Visits all streams and describes only the chosen ones. Callers run it off the runtime's workers.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use serde_json::{Value, json};

use super::stream_query::{StreamQuery, StreamSort};
use super::{slow_clients, stream_views};
use crate::route::stream_state;
use crate::stream::{EventStream, Streams};
use crate::telemetry::StreamState;

/// The chosen streams in JSON, and how many there are.
pub(super) struct Selection {
    /// At most as many as the query's limit.
    pub(super) streams: Vec<Value>,
    /// The number of streams that match the query.
    pub(super) matching: usize,
    /// The number of open streams.
    pub(super) total: usize,
}

impl Selection {
    /// Chooses among the open streams. `limit` holds if the query has none.
    pub(super) fn of(streams: &Streams, query: &StreamQuery, limit: usize) -> Self {
        let all = streams.list();
        let total = all.len();
        let mut chosen: Vec<_> = all.into_iter().filter_map(|stream| Candidate::of(stream, query)).collect();
        let matching = chosen.len();
        chosen.sort_by(|one, other| compare(&one.facts, &other.facts, query));
        chosen.truncate(query.limit.unwrap_or(limit));
        let streams = chosen.iter().map(Candidate::describe).collect();
        Self { streams, matching, total }
    }

    /// Returns what `/streams` answers.
    pub(super) fn into_json(self) -> Value {
        json!({ "streams": self.streams, "matching": self.matching, "total": self.total })
    }
}

struct Candidate {
    stream: Arc<EventStream>,
    facts: Facts,
}

/// The facts that streams are sorted by.
struct Facts {
    route: Arc<str>,
    key: String,
    state: StreamState,
    subscribers: usize,
    events_per_second: f64,
    /// Known only where it decides the order.
    behind_events: Option<u64>,
}

impl Candidate {
    fn of(stream: Arc<EventStream>, query: &StreamQuery) -> Option<Self> {
        let (route, key, state) = (stream.key().route.clone(), stream.key().to_string(), stream_state(&stream));
        if !query.matches(&route, &key, state) {
            return None;
        }
        // Asks every reader of the stream, so not for nothing.
        let behind_events = (query.sort == StreamSort::Lag).then(|| slow_clients::greatest_lag(&stream));
        let events_per_second = stream.event_rate().per_second().unwrap_or_default();
        let facts = Facts { route, key, state, subscribers: stream.subscribers(), events_per_second, behind_events };
        Some(Self { stream, facts })
    }

    fn describe(&self) -> Value {
        let behind_events = self.facts.behind_events.unwrap_or_else(|| slow_clients::greatest_lag(&self.stream));
        stream_views::describe(&self.stream, behind_events)
    }
}

fn compare(one: &Facts, other: &Facts, query: &StreamQuery) -> Ordering {
    fn name(facts: &Facts) -> (&str, &str) {
        (&facts.route, &facts.key)
    }
    let by = |property: fn(&Facts) -> usize| property(other).cmp(&property(one));
    let first = match query.sort {
        StreamSort::Trouble => {
            let order = |facts: &Facts| (!is_in_trouble(facts.state), Reverse(facts.subscribers));
            order(one).cmp(&order(other))
        }
        StreamSort::Subscribers => by(|facts| facts.subscribers),
        StreamSort::Rate => other.events_per_second.total_cmp(&one.events_per_second),
        StreamSort::Lag => other.behind_events.cmp(&one.behind_events),
        StreamSort::State => by(|facts| severity(facts.state)),
        StreamSort::Name => name(one).cmp(&name(other)),
    };
    query.directed(first).then_with(|| name(one).cmp(&name(other)))
}

fn is_in_trouble(state: StreamState) -> bool {
    matches!(state, StreamState::Retrying | StreamState::Stuck)
}

fn severity(state: StreamState) -> usize {
    match state {
        StreamState::Stuck => 5,
        StreamState::Retrying => 4,
        StreamState::Incomplete => 3,
        StreamState::Opening => 2,
        StreamState::Live => 1,
        StreamState::Complete => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the keys in the order of a query.
    fn sorted(query: &str) -> Vec<String> {
        let facts = |key: &str, state, subscribers, events_per_second, behind_events| Facts {
            route: "a".into(),
            key: key.to_owned(),
            state,
            subscribers,
            events_per_second,
            behind_events: Some(behind_events),
        };
        let mut streams = [
            facts("quiet", StreamState::Live, 1, 0.0, 0),
            facts("away", StreamState::Retrying, 0, 0.0, 7),
            facts("b", StreamState::Live, 5, 2.5, 0),
            facts("a", StreamState::Opening, 5, 0.0, 0),
            facts("stuck", StreamState::Stuck, 3, 0.5, 3),
            facts("done", StreamState::Complete, 9, 0.0, 9),
        ];
        let query = StreamQuery::parse(Some(query)).expect("a valid query");
        streams.sort_by(|one, other| compare(one, other, &query));
        streams.into_iter().map(|facts| facts.key).collect()
    }

    #[test]
    fn streams_are_sorted_by_trouble_then_subscribers_then_name() {
        assert_eq!(sorted(""), ["stuck", "away", "done", "a", "b", "quiet"]);
    }

    #[test]
    fn streams_are_sorted_as_the_query_says_and_equal_ones_by_name() {
        assert_eq!(sorted("sort=subscribers"), ["done", "a", "b", "stuck", "quiet", "away"]);
        assert_eq!(sorted("sort=subscribers&order=asc"), ["away", "quiet", "stuck", "a", "b", "done"]);
        assert_eq!(sorted("sort=rate"), ["b", "stuck", "a", "away", "done", "quiet"]);
        assert_eq!(sorted("sort=lag"), ["done", "away", "stuck", "a", "b", "quiet"]);
        assert_eq!(sorted("sort=state"), ["stuck", "away", "a", "b", "quiet", "done"]);
        assert_eq!(sorted("sort=name"), ["a", "away", "b", "done", "quiet", "stuck"]);
        assert_eq!(sorted("sort=name&order=desc"), ["stuck", "quiet", "done", "b", "away", "a"]);
    }
}
