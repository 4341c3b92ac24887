//! The totals of the last minutes, so that a status page shows the past when it is opened.
//!
//! A ring of fixed size. Does not depend on the number of routes, streams or viewers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::telemetry::RouteTotals;

/// The totals over all routes, sampled every [`PERIOD`].
#[derive(Default)]
pub(super) struct History(Mutex<VecDeque<Sample>>);

/// The totals at one time. Counters count since the start of the process.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    subscribers: i64,
    streams: i64,
    upstream_events: u64,
    events_delivered: u64,
    bytes_sent: u64,
}

impl History {
    /// Records the totals of the routes.
    pub(super) fn record(&self, at: Instant, routes: &[RouteTotals]) {
        let sample = Sample {
            at,
            subscribers: routes.iter().map(|route| route.subscribers).sum(),
            streams: routes.iter().map(|route| route.streams).sum(),
            upstream_events: routes.iter().map(|route| route.upstream_events).sum(),
            events_delivered: routes.iter().map(|route| route.events_delivered).sum(),
            bytes_sent: routes.iter().map(|route| route.bytes_sent).sum(),
        };
        let mut samples = self.0.lock();
        if samples.len() == MAX_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// Describes the samples in JSON, oldest first: counts at their times, and rates per second since the one before. The
    /// first sample has no rate and is left out.
    pub(super) fn to_json(&self) -> Value {
        let samples = self.0.lock();
        let counts = |count: fn(&Sample) -> i64| samples.iter().skip(1).map(count).collect::<Vec<_>>();
        let rates = |counter: fn(&Sample) -> u64| {
            let pairs = samples.iter().zip(samples.iter().skip(1));
            pairs.map(|(before, after)| rate(before, after, counter)).collect::<Vec<_>>()
        };
        json!({
            "period_seconds": PERIOD.as_secs(),
            "subscribers": counts(|sample| sample.subscribers),
            "streams": counts(|sample| sample.streams),
            "upstream_events": rates(|sample| sample.upstream_events),
            "events_delivered": rates(|sample| sample.events_delivered),
            "bytes_sent": rates(|sample| sample.bytes_sent),
        })
    }
}

/// Returns a rate per second, rounded to tenths.
fn rate(before: &Sample, after: &Sample, counter: fn(&Sample) -> u64) -> f64 {
    let seconds = after.at.saturating_duration_since(before.at).as_secs_f64();
    let counted = counter(after).saturating_sub(counter(before)) as f64;
    if seconds > 0.0 { (counted / seconds * 10.0).round() / 10.0 } else { 0.0 }
}

/// The time between two samples.
pub(super) const PERIOD: Duration = Duration::from_secs(2);

/// Maximum number of samples: ten minutes. They take 16 KiB.
const MAX_SAMPLES: usize = 301;

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(subscribers: i64, events: u64) -> RouteTotals {
        RouteTotals {
            route: "a".to_owned(),
            subscribers,
            streams: 1,
            streams_waiting: 0,
            upstream_events: events,
            events_delivered: 10 * events,
            bytes_sent: 1000 * events,
            gaps: 0,
            rejections: 0,
        }
    }

    #[test]
    fn counts_are_those_of_a_time_and_rates_those_since_the_sample_before() {
        let (history, start) = (History::default(), Instant::now());
        assert_eq!(history.to_json()["subscribers"], json!([]));

        history.record(start, &[totals(1, 5), totals(2, 5)]);
        history.record(start + 2 * PERIOD, &[totals(3, 9), totals(4, 6)]);

        let shown = history.to_json();
        assert_eq!((&shown["subscribers"], &shown["streams"]), (&json!([7]), &json!([2])));
        assert_eq!((&shown["upstream_events"], &shown["events_delivered"]), (&json!([1.3]), &json!([12.5])));
    }

    #[test]
    fn the_history_is_that_of_ten_minutes() {
        let (history, start) = (History::default(), Instant::now());

        for number in 0..1000 {
            history.record(start + PERIOD * number, &[totals(i64::from(number), 0)]);
        }

        let shown = history.to_json();
        let subscribers = shown["subscribers"].as_array().expect("an array");
        assert_eq!((subscribers.len(), &subscribers[0], &subscribers[299]), (300, &json!(700), &json!(999)));
    }
}
