//! What the admin port may ask of a running gateway, and what it may tell it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::admin::{Introspect, Revocations};
use crate::auth::{Authority, revocation_from_json};
use crate::http::Gate;
use crate::stream::{EventStream, Phase};
use crate::telemetry::State;

/// The streams of a gateway, for looking at.
pub struct Introspection(pub Arc<Gate>);

impl Introspection {
    /// Sets the gauges that are measured and not counted.
    pub fn measure(&self) {
        let mut routes: BTreeMap<Arc<str>, Sums> = BTreeMap::new();
        for route in self.0.routes.load().iter() {
            routes.insert(Arc::from(route.settings.name.as_str()), Sums::default());
        }
        let mut waiting = 0;
        for stream in self.0.streams.list() {
            let sums = routes.entry(stream.key().route.clone()).or_default();
            sums.by_state[state(&stream.progress().phase) as usize] += 1;
            let log = stream.log();
            sums.events += log.events();
            sums.bytes += log.bytes();
            if let Some(journal) = stream.journal() {
                waiting += log.events_after(journal.kept_until());
            }
        }
        if self.0.store.is_some() {
            self.0.metrics.store().queue(waiting);
        }
        for (route, sums) in routes {
            let metrics = self.0.metrics.route(&route);
            metrics.streams(sums.by_state);
            metrics.event_logs(sums.events, sums.bytes);
        }
    }
}

#[derive(Default)]
struct Sums {
    by_state: [usize; 4],
    events: usize,
    bytes: usize,
}

impl Introspect for Introspection {
    fn streams(&self) -> Value {
        let streams: Vec<_> = self.0.streams.list().iter().map(|stream| describe(stream)).collect();
        json!({ "streams": streams })
    }
}

fn describe(stream: &EventStream) -> Value {
    let condition = stream.condition();
    let since = condition.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let log = stream.log();
    let id = |id: Option<&crate::sse::EventId>| id.filter(|id| !id.is_empty()).map(ToString::to_string);
    json!({
        "route": *stream.key().route,
        "key": stream.key().to_string(),
        "state": state(&stream.progress().phase).as_str(),
        "since": since,
        "subscribers": stream.subscribers(),
        "events": log.events(),
        "bytes": log.bytes(),
        "oldest_id": id(log.ids().map(|(oldest, _)| oldest)),
        "newest_id": id(log.ids().map(|(_, newest)| newest)),
        "last_error": condition.last_error,
    })
}

fn state(phase: &Phase) -> State {
    match phase {
        Phase::Opening => State::Opening,
        Phase::Live => State::Live,
        Phase::Retrying(_) | Phase::Refused(_) => State::Retrying,
        Phase::Complete => State::Complete,
    }
}

/// Takes revocations from the operator.
pub struct RevocationDesk(pub Arc<Authority>);

impl Revocations for RevocationDesk {
    fn revoke(&self, body: Bytes) -> (StatusCode, Value) {
        let now = SystemTime::now();
        let outcome =
            revocation_from_json(&body, now).and_then(|revocation| self.0.revocations().revoke(revocation, now));
        match outcome {
            Ok(()) => (StatusCode::OK, json!({ "revoked": true })),
            Err(error) => (StatusCode::BAD_REQUEST, json!({ "revoked": false, "detail": error.to_string() })),
        }
    }
}
