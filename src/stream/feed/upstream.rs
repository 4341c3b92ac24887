//! An upstream as streams know it: the maker of their sources.
//!
//! ```text
//!  [upstreams.NAME] ──▶ Upstream ── source(SourceRequest) ──▶ EventSource ── open ──▶ OpenOutcome
//! ```
//!
//! Another kind of upstream implements [`Upstream`] and [`EventSource`], and the configuration makes it. Nothing else
//! knows kinds of upstreams.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::source::EventSource;
use super::source_request::SourceRequest;
use crate::runtime::backoff::Backoff;
use crate::runtime::connect_budget::ConnectBudget;
use crate::sse::EventId;

/// One `[upstreams.NAME]`. It does not change; a reload makes another one, which takes its place in open streams.
pub trait Upstream: fmt::Debug + Send + Sync {
    /// Returns the name in the configuration.
    fn name(&self) -> &str;

    /// Returns the time limit of an attempt and the delays between attempts.
    fn timing(&self) -> UpstreamTiming;

    /// Returns a digest of what decides which events a request gets: addresses and configured parts of requests. It is
    /// the same in every process and release. The names of secrets belong to it; their values do not.
    fn identity(&self) -> [u8; 32];

    /// Returns a digest of the secrets' values. When a reload changes it, streams connect anew.
    fn credentials(&self) -> [u8; 32];

    /// Returns true if the upstream receives this id unchanged when a stream is opened after it.
    fn can_resume_after(&self, id: &EventId) -> bool;

    /// Makes the source of one stream. Sources that connect to a host take lookups and attempts from `budget`.
    fn source(self: Arc<Self>, request: &Arc<SourceRequest>, budget: &ConnectBudget) -> Arc<dyn EventSource>;
}

/// The time limit of an upstream's attempts, and the delays between them.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamTiming {
    /// The time within which an attempt is answered.
    pub open_timeout: Duration,
    /// The delays between attempts.
    pub backoff: Backoff,
}
