//! The upstream of a route, which a reload replaces under the streams that use it.
//!
//! A stream outlives a reload that does not change its identity, such as a new value of a secret or another timeout. It
//! connects anew at once if the credentials changed. Otherwise the new settings apply to its next attempt.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::open_error::OpenError;
use super::source::{EventSource, OpenOutcome};
use super::source_request::SourceRequest;
use super::upstream::Upstream;
use crate::runtime::connect_budget::ConnectBudget;
use crate::sse::EventId;

/// The upstream in force.
#[derive(Debug)]
pub struct LiveUpstream {
    current: watch::Sender<Arc<dyn Upstream>>,
    budget: ConnectBudget,
}

/// The source of one stream, made anew when the upstream is replaced.
struct LiveSource {
    upstream: Arc<LiveUpstream>,
    request: Arc<SourceRequest>,
    /// The upstream of the last attempt and its source. Never held across an await.
    last_used: Mutex<(Arc<dyn Upstream>, Arc<dyn EventSource>)>,
}

impl LiveUpstream {
    /// Creates the upstream of a new route. Its sources connect within `budget`.
    pub fn new(upstream: Arc<dyn Upstream>, budget: ConnectBudget) -> Arc<Self> {
        Arc::new(Self { current: watch::channel(upstream).0, budget })
    }

    /// Returns the upstream in force.
    pub fn current(&self) -> Arc<dyn Upstream> {
        self.current.borrow().clone()
    }

    /// Replaces the upstream for all sources. The identities of both must be equal.
    pub fn replace(&self, upstream: Arc<dyn Upstream>) {
        self.current.send_replace(upstream);
    }

    /// Makes the source of one stream.
    pub fn source(self: &Arc<Self>, request: SourceRequest) -> Arc<dyn EventSource> {
        let (upstream, request) = (self.current(), Arc::new(request));
        let source = upstream.clone().source(&request, &self.budget);
        Arc::new(LiveSource { upstream: self.clone(), request, last_used: Mutex::new((upstream, source)) })
    }

    /// Completes when the credentials in force differ from those of `known`. Cancel-safe.
    async fn credentials_changed(&self, known: &Arc<dyn Upstream>) {
        let known = known.credentials();
        if self.current.subscribe().wait_for(|upstream| upstream.credentials() != known).await.is_err() {
            // The sender is gone, so the upstream can no longer change.
            std::future::pending().await
        }
    }
}

impl LiveSource {
    /// Returns the upstream in force and its source.
    fn refresh(&self) -> (Arc<dyn Upstream>, Arc<dyn EventSource>) {
        let current = self.upstream.current();
        let mut last_used = self.last_used.lock();
        if !Arc::ptr_eq(&last_used.0, &current) {
            let source = current.clone().source(&self.request, &self.upstream.budget);
            *last_used = (current, source);
        }
        last_used.clone()
    }
}

impl EventSource for LiveSource {
    /// Opens with the upstream in force. Starts over when the credentials change meanwhile, because an upstream may keep
    /// a client with old ones waiting.
    fn open(&self, after: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        async move {
            loop {
                let (upstream, source) = self.refresh();
                if !self.request.may_repeat() {
                    return source.open(after).await;
                }
                tokio::select! {
                    outcome = source.open(after.clone()) => return outcome,
                    () = self.upstream.credentials_changed(&upstream) => {}
                }
            }
        }
        .boxed()
    }

    fn can_overlap_after(&self, id: &EventId) -> bool {
        self.refresh().1.can_overlap_after(id)
    }

    fn credentials_changed(&self) -> BoxFuture<'_, ()> {
        if !self.request.may_repeat() {
            return std::future::pending().boxed();
        }
        let (upstream, source) = self.last_used.lock().clone();
        async move {
            tokio::select! {
                () = self.upstream.credentials_changed(&upstream) => {}
                () = source.credentials_changed() => {}
            }
        }
        .boxed()
    }
}
