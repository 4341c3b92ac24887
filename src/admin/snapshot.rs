//! What the status page shows, as JSON, made at most once a second whoever watches.
//!
//! Holds the sums of the routes, the readiness, and a hundred streams, those in trouble and those with most subscribers: a
//! page that lists ten thousand helps nobody. The whole list is at `/streams`.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::StreamViews;
use super::health::Readiness;
use crate::telemetry::Metrics;

pub(super) struct Snapshots {
    version: String,
    started: Instant,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    introspect: Arc<dyn StreamViews>,
    /// The last one made, as one event. Held while a new one is made, which is off the runtime's workers.
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Snapshots {
    pub(super) fn new(
        version: String,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
        introspect: Arc<dyn StreamViews>,
    ) -> Self {
        Self { version, started: Instant::now(), metrics, readiness, introspect, last: Mutex::new(None) }
    }

    /// The snapshot of this second as one event. Blocks: call it off the runtime's workers.
    pub(super) fn event(&self) -> Bytes {
        let mut last = self.last.lock();
        if let Some((made, event)) = &*last
            && made.elapsed() < FRESH
        {
            return event.clone();
        }
        let event = Bytes::from(format!("data: {}\n\n", self.make()));
        *last = Some((Instant::now(), event.clone()));
        event
    }

    fn make(&self) -> Value {
        let (streams, total) = foremost(self.introspect.streams());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({
            "version": self.version,
            "time_ms": u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            "uptime_ms": u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "readiness": self.readiness.report(),
            "routes": self.metrics.totals(),
            "streams": streams,
            "streams_total": total,
        })
    }
}

/// The streams that matter most, in an order that does not change by itself, and how many there are in all: first those in
/// trouble, then those with most subscribers, then by name.
fn foremost(streams: Value) -> (Vec<Value>, usize) {
    let streams = match streams {
        Value::Object(mut object) => object.remove("streams").unwrap_or_default(),
        other => other,
    };
    let Value::Array(mut streams) = streams else { return (Vec::new(), 0) };
    let total = streams.len();
    streams.sort_by_cached_key(|stream| {
        let text = |member: &str| stream[member].as_str().unwrap_or_default().to_owned();
        let is_well = !matches!(stream["state"].as_str(), Some("retrying" | "stuck"));
        (is_well, Reverse(stream["subscribers"].as_u64()), text("route"), text("key"))
    });
    streams.truncate(SHOWN);
    (streams, total)
}

/// How long a snapshot serves other viewers; less than their second, so that each sees every one.
const FRESH: Duration = Duration::from_millis(900);

/// Most streams of a snapshot.
const SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_in_trouble_come_first_then_those_with_most_subscribers_then_by_name() {
        let stream = |key: &str, state: &str, subscribers: u64| json!({ "route": "a", "key": key, "state": state, "subscribers": subscribers });
        let streams = json!([
            stream("/quiet", "live", 1),
            stream("/away", "retrying", 0),
            stream("/b", "live", 5),
            stream("/a", "opening", 5),
            stream("/stuck", "stuck", 3),
            stream("/done", "complete", 9),
        ]);

        let (shown, _) = foremost(json!({ "streams": streams }));

        let keys: Vec<_> = shown.iter().map(|stream| stream["key"].as_str().expect("a key")).collect();
        assert_eq!(keys, ["/stuck", "/away", "/done", "/a", "/b", "/quiet"]);
    }

    #[test]
    fn of_many_streams_the_rest_is_only_counted() {
        let streams: Vec<Value> = (0..250).map(|number| json!({ "subscribers": number })).collect();

        let (shown, total) = foremost(json!({ "streams": streams }));

        assert_eq!((shown.len(), total), (SHOWN, 250));
        assert_eq!(shown[0]["subscribers"], 249);
        assert_eq!(foremost(json!("nonsense")), (Vec::new(), 0));
    }
}
