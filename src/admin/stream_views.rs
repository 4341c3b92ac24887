//! One open stream as the admin port shows it, in JSON.
//!
//! Asks the readers of the stream, so callers run it off the runtime's workers. Holds no lock of a stream for longer than
//! one of its numbers takes. Does not form responses.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::slow_clients;
use super::state_reason::state_reason;
use crate::route::stream_state;
use crate::sse::EventId;
use crate::stream::{EventStream, Streams};

/// Describes the open stream that `/streams` shows under this route and key, with its slowest clients.
pub(super) fn describe_with_slowest(streams: &Streams, route: &str, key: &str) -> Option<Value> {
    let stream = find(streams, route, key)?;
    let mut described = describe(&stream, slow_clients::greatest_lag(&stream));
    described["slowest"] = slow_clients::of_stream(&stream).into();
    Some(described)
}

/// Finds the stream that is shown under this route and key. Where a reload has left two of them, returns the one with
/// more subscribers.
pub(super) fn find(streams: &Streams, route: &str, key: &str) -> Option<Arc<EventStream>> {
    let of_route = streams.list().into_iter().filter(|stream| *stream.key().route == *route);
    of_route.filter(|stream| stream.key().to_string() == key).max_by_key(|stream| stream.subscribers())
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Describes a stream, whose slowest client is so many events behind, as `/streams` lists it.
pub(super) fn describe(stream: &EventStream, behind_events: u64) -> Value {
    let condition = stream.condition();
    let (route, key) = (&*stream.key().route, stream.key().to_string());
    let name = format!("{}/{}", percent_encode(route), percent_encode(&key));
    let is_over = stream.progress().phase.is_kept();
    let silent = (!is_over).then(|| stream.last_activity().idle_for(Instant::now()));
    let events_per_second = stream.event_rate().per_second().map(|rate| (rate * 10.0).round() / 10.0);
    let log = stream.log();
    let id = |id: Option<&EventId>| id.filter(|id| !id.is_empty()).map(ToString::to_string);
    let share = stream.shared().map(|shared| shared.share());
    json!({
        "route": route,
        "key": key,
        "role": share.as_ref().map_or("alone", |share| share.role.label()),
        "owner": share.as_ref().and_then(|share| share.owner.as_deref()),
        "term": share.as_ref().map(|share| share.term),
        "state": stream_state(stream).as_str(),
        "since": unix(condition.since),
        "silent_seconds": silent.map(|silent| silent.as_secs()),
        "subscribers": stream.subscribers(),
        "events_per_second": events_per_second,
        "behind_events": behind_events,
        "events": log.events(),
        "bytes": log.bytes(),
        "oldest_id": id(log.id_range().map(|(oldest, _)| oldest)),
        "newest_id": id(log.id_range().map(|(_, newest)| newest)),
        "reason": state_reason(stream),
        "last_error": condition.last_error,
        "link": format!("/streams/{name}"),
        "tap": format!("/tap/{name}"),
    })
}

/// Encodes a text as one path segment.
fn percent_encode(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}
