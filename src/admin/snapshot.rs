//! The JSON snapshots of the status page, rendered at most once a second for all viewers.
//!
//! A snapshot holds the totals of the routes, the readiness and at most a hundred streams: first those in trouble, then
//! those with most subscribers. `/streams` has the complete list, which would be too long for a page.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::context::AdminContext;
use super::stream_views;

pub(super) struct Snapshots {
    context: Arc<AdminContext>,
    started: Instant,
    /// The last snapshot as one event. Locked while a new one is rendered, off the runtime's workers.
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Snapshots {
    pub(super) fn new(context: Arc<AdminContext>) -> Self {
        Self { context, started: Instant::now(), last: Mutex::new(None) }
    }

    /// Returns the current snapshot as one event. Blocks: call it off the runtime's workers.
    pub(super) fn event(&self) -> Bytes {
        let mut last = self.last.lock();
        if let Some((made, event)) = &*last
            && made.elapsed() < MAX_AGE
        {
            return event.clone();
        }
        let event = Bytes::from(format!("data: {}\n\n", self.render()));
        *last = Some((Instant::now(), event.clone()));
        event
    }

    fn render(&self) -> Value {
        let (streams, total) = most_relevant(stream_views::list(&self.context.streams));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({
            "version": self.context.version,
            "time_ms": u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            "uptime_ms": u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "readiness": self.context.readiness.report(),
            "routes": self.context.metrics.totals(),
            "streams": streams,
            "streams_total": total,
            "cluster": self.context.cluster.as_ref().map(|describe| describe()),
        })
    }
}

/// Returns the streams that matter most, in a stable order, and the number of all: first those in trouble, then those
/// with most subscribers, then by name.
fn most_relevant(mut streams: Value) -> (Vec<Value>, usize) {
    if let Some(member) = streams.get_mut("streams") {
        streams = member.take();
    }
    let Value::Array(mut streams) = streams else { return (Vec::new(), 0) };
    let total = streams.len();
    streams.sort_by_cached_key(|stream| {
        let text = |member: &str| stream[member].as_str().unwrap_or_default().to_owned();
        let is_well = !matches!(stream["state"].as_str(), Some("retrying" | "stuck"));
        (is_well, Reverse(stream["subscribers"].as_u64()), text("route"), text("key"))
    });
    streams.truncate(MAX_STREAMS);
    (streams, total)
}

/// The time for which a snapshot serves other viewers. Less than their period of a second, so that each viewer sees
/// every snapshot.
const MAX_AGE: Duration = Duration::from_millis(900);

/// Maximum number of streams in a snapshot.
const MAX_STREAMS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_sorted_by_trouble_then_subscribers_then_name() {
        let stream = |key: &str, state: &str, subscribers: u64| json!({ "route": "a", "key": key, "state": state, "subscribers": subscribers });
        let streams = json!([
            stream("/quiet", "live", 1),
            stream("/away", "retrying", 0),
            stream("/b", "live", 5),
            stream("/a", "opening", 5),
            stream("/stuck", "stuck", 3),
            stream("/done", "complete", 9),
        ]);

        let (shown, _) = most_relevant(json!({ "streams": streams }));

        let keys: Vec<_> = shown.iter().map(|stream| stream["key"].as_str().expect("a key")).collect();
        assert_eq!(keys, ["/stuck", "/away", "/done", "/a", "/b", "/quiet"]);
    }

    #[test]
    fn streams_beyond_the_maximum_are_only_counted() {
        let streams: Vec<Value> = (0..250).map(|number| json!({ "subscribers": number })).collect();

        let (shown, total) = most_relevant(json!({ "streams": streams }));

        assert_eq!((shown.len(), total), (MAX_STREAMS, 250));
        assert_eq!(shown[0]["subscribers"], 249);
        assert_eq!(most_relevant(json!("nonsense")), (Vec::new(), 0));
    }
}
