//! The settings with which a stream is opened. The first reader supplies them.

use std::sync::Arc;

use super::feed::{Attempts, EventSource, OpenError, StreamFeed};
use super::live_policy::LivePolicy;
use super::log::{Gap, GapNotice, Ids, VerdictForm};
use super::stored_requests::OpeningRequest;

/// The settings of one stream.
#[derive(Clone)]
pub struct StreamSpec {
    /// The ids that clients see.
    pub ids: Ids,
    /// The settings that a reload may replace. The streams of a route share them.
    pub policy: Arc<LivePolicy>,
    /// The source of its events.
    pub source: Arc<dyn EventSource>,
    /// The step between it and the log.
    pub feed: StreamFeed,
    /// Returns the encoder of gaps for the stream's clients.
    pub gap_notice: fn(VerdictForm) -> GapNotice,
    /// The attempts to connect.
    pub attempts: Attempts,
    /// The request that opens the stream and is to find it again in the store. `None`: there is none.
    pub request: Option<OpeningRequest>,
    /// The observer of its metrics.
    pub observer: Arc<dyn StreamObserver>,
}

/// Receives a call for each fact about a stream that is counted.
pub trait StreamObserver: Send + Sync {
    /// A connection attempt ended.
    fn connected(&self, outcome: Result<(), &OpenError>);
    /// Events were received from the upstream.
    fn received(&self, events: u64, bytes: usize);
    /// Continuity was broken.
    fn gap(&self, gap: Gap);
    /// Returns true if a line about a refused or failed stream may be logged now. Clients can open streams for made-up
    /// paths, so such lines are bounded.
    fn acquire_failure_line(&self) -> bool {
        true
    }
    /// The upstream ended its response cleanly but sent no new id. The gateway will connect again.
    fn ended_without_new_id(&self) {}
    /// A request for the upstream's history ended. `result` is `ok` or the reason for the failure.
    fn read_through(&self, _result: &'static str) {}
}
