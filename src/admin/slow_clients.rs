//! The clients that are furthest behind, of one stream and of all.
//!
//! Asks every reader, and walks parts of the logs, so callers run it off the runtime's workers. Holds no lock of a stream
//! for longer than one of its numbers takes.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::stream::{EventStream, Offset, ReaderInfo, Streams};

/// Describes the slowest clients of a stream, the slowest first.
pub(super) fn of_stream(stream: &EventStream) -> Vec<Value> {
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
            let mut described = Lag::of(stream, reader).describe(reader);
            described["behind_bytes"] = bytes.into();
            described
        })
        .collect();
    described.reverse();
    described
}

/// Describes the slowest clients of all streams, those that lack most events first. Only those that lack an event which
/// is more than [`SLOW_SECONDS`] old, or one that the log no longer has.
pub(super) fn of_all(streams: &Streams) -> Vec<Value> {
    let lags = streams.list().into_iter().map(|stream| (greatest_lag(&stream), stream));
    let mut slow: Vec<(u64, Arc<EventStream>)> = lags.filter(|(lag, _)| *lag > 0).collect();
    slow.sort_by_key(|(lag, _)| Reverse(*lag));
    // Each of the slowest clients is in one of as many streams.
    slow.truncate(MAX_SLOWEST);
    let mut clients = Vec::new();
    for (_, stream) in slow {
        for reader in stream.waiters().furthest_behind(MAX_SLOWEST) {
            let lag = Lag::of(&stream, &reader);
            if lag.is_off_the_log || lag.seconds.is_some_and(|seconds| seconds >= SLOW_SECONDS) {
                let mut described = lag.describe(&reader);
                described["route"] = (&*stream.key().route).into();
                described["key"] = stream.key().to_string().into();
                clients.push((lag.events, described));
            }
        }
    }
    clients.sort_by_key(|(events, _)| Reverse(*events));
    clients.truncate(MAX_SLOWEST);
    clients.into_iter().map(|(_, described)| described).collect()
}

/// Returns the number of events that the slowest client of a stream lacks.
pub(super) fn greatest_lag(stream: &EventStream) -> u64 {
    let events = {
        let log = stream.log();
        log.events_until(log.end())
    };
    // The log is no longer locked, so a reader may be ahead of `events`.
    stream.waiters().least_read().map_or(0, |read| events.saturating_sub(read))
}

/// The distance of a client from the end of its stream.
struct Lag {
    events: u64,
    /// The age of the oldest event that it lacks, if the log has that.
    seconds: Option<u64>,
    is_off_the_log: bool,
}

impl Lag {
    fn of(stream: &EventStream, reader: &ReaderInfo) -> Self {
        let log = stream.log();
        let events = log.events_until(log.end()).saturating_sub(reader.read);
        let oldest = log.entries_from(reader.next, 0).ok().and_then(|mut entries| entries.next().map(|entry| entry.at));
        let seconds = oldest.map(|at| Instant::now().saturating_duration_since(at).as_secs());
        Self { events, seconds, is_off_the_log: reader.next < log.start() }
    }

    fn describe(&self, reader: &ReaderInfo) -> Value {
        let client = reader.client.as_ref();
        let mut described = json!({
            "client": client.map(|client| client.address),
            "protocol": client.map(|client| client.protocol),
            "since": reader.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            "position": reader.next.0,
            "behind_events": self.events,
            "behind_seconds": self.seconds,
            "off_the_log": self.is_off_the_log,
            "request_id": client.map(|client| &*client.request_id),
        });
        if let Some(subject) = client.and_then(|client| client.subject.as_deref()) {
            described["subject"] = subject.into();
        }
        described
    }
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

/// Maximum number of clients that the view of a stream shows, and the status page.
const MAX_SLOWEST: usize = 10;
/// The age of the oldest event that a client lacks from which on the status page calls it slow, in seconds.
const SLOW_SECONDS: u64 = 2;
/// Entries visited under one lock.
const ENTRIES_PER_LOCK: u64 = 4096;
