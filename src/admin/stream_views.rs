//! The open streams as the admin port shows them, in JSON.
//!
//! Walks all streams and parts of their logs, so callers run it off the runtime's workers. Holds no lock of a stream for
//! longer than one of its numbers takes. Does not form responses.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::route::stream_state;
use crate::sse::EventId;
use crate::stream::{EventStream, Offset, ReaderInfo, Streams};

/// Describes all open streams, as `/streams` answers.
pub(super) fn list(streams: &Streams) -> Value {
    let streams: Vec<_> = streams.list().iter().map(|stream| describe(stream)).collect();
    json!({ "streams": streams })
}

/// Describes the open stream that `/streams` shows under this route and key, with its slowest clients.
pub(super) fn describe_with_slowest(streams: &Streams, route: &str, key: &str) -> Option<Value> {
    let stream = find(streams, route, key)?;
    let mut described = describe(&stream);
    described["slowest"] = slowest(&stream).into();
    Some(described)
}

/// Finds the stream that is shown under this route and key. Where a reload has left two of them, returns the one with
/// more subscribers.
pub(super) fn find(streams: &Streams, route: &str, key: &str) -> Option<Arc<EventStream>> {
    let of_route = streams.list().into_iter().filter(|stream| *stream.key().route == *route);
    of_route.filter(|stream| stream.key().to_string() == key).max_by_key(|stream| stream.subscribers())
}

/// Describes the slowest clients, the slowest first.
fn slowest(stream: &EventStream) -> Vec<Value> {
    let readers = stream.waiters().furthest_behind(MAX_SLOWEST);
    // One pass over the log for all of them: each client lags by the bytes of the next faster one plus the bytes
    // between the two.
    let mut end = stream.progress().end;
    let mut bytes = 0;
    let mut described: Vec<_> = readers
        .iter()
        .rev()
        .map(|reader| {
            bytes += bytes_between(stream, reader.next, end);
            end = end.min(reader.next);
            describe_reader(stream, reader, bytes)
        })
        .collect();
    described.reverse();
    described
}

fn describe_reader(stream: &EventStream, reader: &ReaderInfo, bytes: usize) -> Value {
    let (events, is_off_the_log) = {
        let log = stream.log();
        (log.events_until(log.end()).saturating_sub(reader.read), reader.next < log.start())
    };
    let client = reader.client.as_ref();
    let mut described = json!({
        "client": client.map(|client| client.address),
        "protocol": client.map(|client| client.protocol),
        "since": unix(reader.since),
        "position": reader.next.0,
        "behind_events": events,
        "behind_bytes": bytes,
        "off_the_log": is_off_the_log,
        "request_id": client.map(|client| &*client.request_id),
    });
    if let Some(subject) = client.and_then(|client| client.subject.as_deref()) {
        described["subject"] = subject.into();
    }
    described
}

/// Returns the size of the entries between two offsets. Unlocks the log after every [`ENTRIES_PER_LOCK`] entries, so
/// that an append never waits for an operator.
fn bytes_between(stream: &EventStream, mut from: Offset, until: Offset) -> usize {
    let mut bytes = 0;
    loop {
        let log = stream.log();
        from = from.max(log.start());
        let count = until.0.saturating_sub(from.0).min(ENTRIES_PER_LOCK);
        let Ok(entries) = log.entries_from(from, 0) else { return bytes };
        bytes +=
            entries.take(usize::try_from(count).unwrap_or(usize::MAX)).map(|entry| entry.frame.len()).sum::<usize>();
        if count < ENTRIES_PER_LOCK {
            return bytes;
        }
        from.0 += count;
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn describe(stream: &EventStream) -> Value {
    let condition = stream.condition();
    let (route, key) = (&*stream.key().route, stream.key().to_string());
    let name = format!("{}/{}", percent_encode(route), percent_encode(&key));
    let is_over = stream.progress().phase.is_kept();
    let silent = (!is_over).then(|| stream.last_activity().idle_for(Instant::now()));
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
        "events": log.events(),
        "bytes": log.bytes(),
        "oldest_id": id(log.id_range().map(|(oldest, _)| oldest)),
        "newest_id": id(log.id_range().map(|(_, newest)| newest)),
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

/// Maximum number of clients that the view of a stream shows.
const MAX_SLOWEST: usize = 10;
/// Entries visited under one lock.
const ENTRIES_PER_LOCK: u64 = 4096;
