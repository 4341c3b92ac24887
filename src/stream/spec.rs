//! What it takes to make a stream: given once, by whoever asks for it first.

use std::sync::Arc;

use super::feed::{EventSource, OpenError};
use super::log::{Gap, GapNotice, Policy};
use super::log_store::LogStore;
use crate::runtime::backoff::Backoff;

/// How a stream is made and kept.
#[derive(Clone)]
pub struct StreamSpec {
    /// How it is kept.
    pub policy: Policy,
    /// Where its events come from.
    pub source: Arc<dyn EventSource>,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// How a gap is told to its clients.
    pub gap_notice: GapNotice,
    /// Tried again whatever the upstream answers. That it is kept without readers is said by `Streams::keep_open`.
    pub is_always_open: bool,
    /// Who keeps its log beyond the process, and a digest of where the events come from.
    pub store: Option<(Arc<dyn LogStore>, [u8; 32])>,
    /// Who counts.
    pub observer: Arc<dyn StreamObserver>,
}

/// Hears what happens to a stream, for counting.
pub trait StreamObserver: Send + Sync {
    /// An attempt to connect ended.
    fn connected(&self, outcome: Result<(), &OpenError>);
    /// Events came.
    fn received(&self, events: u64, bytes: usize);
    /// Continuity broke.
    fn gap(&self, gap: Gap);
    /// The upstream ended its response cleanly without a new id, and is asked again.
    fn ended_without_new_id(&self) {}
    /// An extra request for the upstream's history ended: `ok`, or why it came to nothing.
    fn read_through(&self, _result: &'static str) {}
}
