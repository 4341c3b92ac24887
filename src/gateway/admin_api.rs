//! The admin port's views of a running gateway.

mod revocations;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::admin::{self, StreamViews};
use crate::http::App;
use crate::route::stream_state;
use crate::sse::Frame;
use crate::stream::{EventStream, Offset, Phase, ReaderInfo, Tap};

pub(super) use revocations::RevocationHandler;

/// The gateway's streams and configuration, as the admin port shows them.
pub(super) struct GatewayViews {
    /// The owner of the streams.
    pub app: Arc<App>,
    /// The effective configuration without secrets.
    pub config: Arc<ArcSwap<Value>>,
}

impl GatewayViews {
    /// Finds the stream that is shown under this route and key. Where a reload has left two of them, returns the one
    /// with more subscribers.
    fn find(&self, route: &str, key: &str) -> Option<Arc<EventStream>> {
        let of_route = self.app.streams.list().into_iter().filter(|stream| *stream.key().route == *route);
        of_route.filter(|stream| stream.key().to_string() == key).max_by_key(|stream| stream.subscribers())
    }
}

impl StreamViews for GatewayViews {
    fn streams(&self) -> Value {
        let streams: Vec<_> = self.app.streams.list().iter().map(|stream| describe(stream)).collect();
        json!({ "streams": streams })
    }

    fn stream(&self, route: &str, key: &str) -> Option<Value> {
        let stream = self.find(route, key)?;
        let mut described = describe(&stream);
        described["slowest"] = slowest(&stream).into();
        Some(described)
    }

    fn tap(&self, route: &str, key: &str) -> Option<Box<dyn admin::TapFrames>> {
        Some(Box::new(TapReader(Tap::new(&self.find(route, key)?))))
    }

    fn config(&self) -> Value {
        (**self.config.load()).clone()
    }
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

/// Turns tapped frames into pieces of an event stream.
struct TapReader(Tap);

impl admin::TapFrames for TapReader {
    fn take(&mut self, bytes: usize) -> Option<Vec<Bytes>> {
        let tapped = self.0.take(bytes)?;
        let told = (tapped.missed > 0).then(|| Bytes::from(format!(": rillgate-tap: missed={}\n", tapped.missed)));
        Some(told.into_iter().chain(tapped.frames.iter().map(Frame::body)).collect())
    }
}

/// Maximum number of clients that the view of a stream shows.
const MAX_SLOWEST: usize = 10;
/// Entries visited under one lock.
const ENTRIES_PER_LOCK: u64 = 4096;

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn describe(stream: &EventStream) -> Value {
    let condition = stream.condition();
    let (route, key) = (&*stream.key().route, stream.key().to_string());
    let name = format!("{}/{}", percent_encode(route), percent_encode(&key));
    let is_over = stream.progress().phase == Phase::Complete;
    let silent = (!is_over).then(|| stream.last_activity().idle_for(Instant::now()));
    let log = stream.log();
    let id = |id: Option<&crate::sse::EventId>| id.filter(|id| !id.is_empty()).map(ToString::to_string);
    json!({
        "route": route,
        "key": key,
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
