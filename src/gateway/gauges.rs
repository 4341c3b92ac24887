//! The gauges that are measured and not counted: open streams, event logs, revocations, and how far readers are behind.
//! Samples the rate of each stream's events as well.
//!
//! Visits every open stream. Holds no lock of a stream for longer than one of its numbers takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::state::GatewayState;
use crate::auth::RevocationOrigin;
use crate::route::stream_state;
use crate::stream::Streams;
use crate::telemetry::Metrics;

/// Sets the gauges of streams, event logs, the store's queue and revocations, and samples the streams' rates. Call it once
/// a second.
pub(super) fn measure(state: &GatewayState) {
    let (app, metrics) = (&state.app, &state.metrics);
    let mut routes: BTreeMap<Arc<str>, Sums> = BTreeMap::new();
    for route in app.routes.load().iter() {
        routes.insert(Arc::from(route.settings.name.as_str()), Sums::default());
    }
    let (now, mut waiting) = (Instant::now(), 0);
    for stream in app.streams.list() {
        let sums = routes.entry(stream.key().route.clone()).or_default();
        sums.by_state[stream_state(&stream) as usize] += 1;
        let log = stream.log();
        sums.events += log.events();
        sums.bytes += log.bytes();
        stream.event_rate().sample(now, log.events_until(log.end()));
        if let Some(kept_until) = stream.persister().and_then(|journal| journal.persisted_until()) {
            waiting += log.events_after(kept_until);
        }
    }
    if state.store.is_some() {
        metrics.store().queue(waiting);
    }
    let revocations = app.trust.revocations().counts();
    for (from, entries) in [(RevocationOrigin::Posted, revocations.posted), (RevocationOrigin::File, revocations.filed)]
    {
        metrics.revocations(from.as_str(), entries);
    }
    for (route, sums) in routes {
        let metrics = metrics.route(&route);
        metrics.streams(sums.by_state);
        metrics.event_logs(sums.events, sums.bytes);
    }
}

/// Records how far subscribers are behind, at most [`MAX_SAMPLED`] of each stream, evenly spread.
pub(super) fn sample_lag(streams: &Streams, metrics: &Metrics) {
    for stream in streams.list() {
        let events = {
            let log = stream.log();
            log.events_until(log.end())
        };
        let metrics = metrics.route(&stream.key().route);
        // The log is no longer locked, so a reader may be ahead of `events`.
        stream.waiters().sample(MAX_SAMPLED, |read| metrics.lag(events.saturating_sub(read)));
    }
}

/// The sums over one route's streams.
#[derive(Default)]
struct Sums {
    by_state: [usize; 6],
    events: usize,
    bytes: usize,
}

/// Maximum number of clients of a stream whose lag is sampled.
const MAX_SAMPLED: usize = 10_000;
