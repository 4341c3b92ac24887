//! The JSON snapshots of the status page, rendered at most once a second for all viewers that ask for the same streams.
//!
//! A snapshot holds the totals of the routes and their last minutes, the readiness, the slowest clients, and the streams
//! that the viewer asks for: by default a hundred. `/streams` has the complete list, which would be too long for a page.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::context::AdminContext;
use super::history::History;
use super::selection::Selection;
use super::slow_clients;
use super::stream_query::StreamQuery;

pub(super) struct Snapshots {
    context: Arc<AdminContext>,
    started: Instant,
    history: History,
    /// Locked while a snapshot is rendered, off the runtime's workers.
    recent: Mutex<Recent>,
}

/// The snapshots that were rendered within [`MAX_AGE`]. Bounded by the number of viewers.
#[derive(Default)]
struct Recent {
    /// The members that do not depend on the viewer.
    common: Option<(Instant, Value)>,
    /// The events.
    events: Vec<(Instant, StreamQuery, Bytes)>,
}

impl Snapshots {
    pub(super) fn new(context: Arc<AdminContext>) -> Self {
        Self { context, started: Instant::now(), history: History::default(), recent: Mutex::default() }
    }

    /// Records the totals of the routes for the history. Call it every [`super::history::PERIOD`].
    pub(super) fn record_totals(&self) {
        self.history.record(Instant::now(), &self.context.metrics.totals());
    }

    /// Returns the current snapshot with these streams as one event. Blocks: call it off the runtime's workers.
    pub(super) fn event(&self, query: &StreamQuery) -> Bytes {
        let mut recent = self.recent.lock();
        let now = Instant::now();
        recent.events.retain(|(made, _, _)| now.saturating_duration_since(*made) < MAX_AGE);
        if let Some((_, _, event)) = recent.events.iter().find(|(_, of, _)| of == query) {
            return event.clone();
        }
        let mut snapshot = match &recent.common {
            Some((made, common)) if now.saturating_duration_since(*made) < MAX_AGE => common.clone(),
            _ => recent.common.insert((now, self.common())).1.clone(),
        };
        let selection = Selection::of(&self.context.streams, query, MAX_STREAMS);
        snapshot["streams"] = selection.streams.into();
        snapshot["streams_matching"] = selection.matching.into();
        snapshot["streams_total"] = selection.total.into();
        let event = Bytes::from(format!("data: {snapshot}\n\n"));
        recent.events.push((now, query.clone(), event.clone()));
        event
    }

    fn common(&self) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({
            "version": self.context.version,
            "time_ms": u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            "uptime_ms": u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "readiness": self.context.readiness.report(),
            "routes": self.context.metrics.totals(),
            "history": self.history.to_json(),
            "slowest": slow_clients::of_all(&self.context.streams),
            "cluster": self.context.cluster.as_ref().map(|describe| describe()),
        })
    }
}

/// The time for which a snapshot serves other viewers. Less than their period of a second, so that each viewer sees
/// every snapshot.
const MAX_AGE: Duration = Duration::from_millis(900);

/// Maximum number of streams in a snapshot, if the viewer does not say.
const MAX_STREAMS: usize = 100;
