//! The source of a stream that a `POST` opens. It gives the request away once it has reached the upstream.

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;

use std::sync::Arc;

use super::body_limits::BodyCharge;
use crate::sse::EventId;
use crate::stream::{EventSource, OpenError, OpenOutcome};

/// The source of one stream.
pub(super) struct PostSource {
    /// `None` once the request must not be sent again. Never held across an await.
    request: Mutex<Option<PendingPost>>,
    may_repeat: bool,
}

/// A request that may still be sent.
struct PendingPost {
    source: Arc<dyn EventSource>,
    /// Held for the memory of the body.
    _charge: BodyCharge,
}

impl PostSource {
    /// Creates the source of a request, with the memory of its body.
    pub(super) fn new(source: Arc<dyn EventSource>, charge: BodyCharge, may_repeat: bool) -> Self {
        Self { request: Mutex::new(Some(PendingPost { source, _charge: charge })), may_repeat }
    }

    /// Creates the source of a request that was made in an earlier process.
    pub(super) fn gone() -> Self {
        Self { request: Mutex::new(None), may_repeat: false }
    }

    fn source(&self) -> Option<Arc<dyn EventSource>> {
        self.request.lock().as_ref().map(|request| request.source.clone())
    }
}

impl EventSource for PostSource {
    fn open(&self, after: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        async move {
            let Some(source) = self.source() else {
                return Err(OpenError::NotFound("the request of the stream is gone".to_owned()));
            };
            let outcome = source.open(after).await;
            let is_unsent = matches!(outcome, Err(OpenError::Unreachable(_)));
            if !self.may_repeat && !is_unsent {
                *self.request.lock() = None;
            }
            outcome
        }
        .boxed()
    }

    fn can_overlap_after(&self, id: &EventId) -> bool {
        self.source().is_some_and(|source| source.can_overlap_after(id))
    }

    fn credentials_changed(&self) -> BoxFuture<'_, ()> {
        let source = self.source().filter(|_| self.may_repeat);
        async move {
            match source {
                Some(source) => source.credentials_changed().await,
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
}
