//! The source of a stream that a `POST` opens. It gives the request away before it is sent, and takes it back only if
//! nothing has reached the upstream.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;

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
#[derive(Clone)]
struct PendingPost {
    source: Arc<dyn EventSource>,
    /// Held for the memory of the body.
    _charge: Arc<BodyCharge>,
}

impl PostSource {
    /// Creates the source of a request, with the memory of its body.
    pub(super) fn new(source: Arc<dyn EventSource>, charge: Arc<BodyCharge>, may_repeat: bool) -> Self {
        Self { request: Mutex::new(Some(PendingPost { source, _charge: charge })), may_repeat }
    }

    /// Creates the source of a request that was made elsewhere: in an earlier process, or at another gateway.
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
            let request = match self.may_repeat {
                true => self.request.lock().clone(),
                // Also gone if this future is dropped in the middle.
                false => self.request.lock().take(),
            };
            let Some(request) = request else {
                return Err(OpenError::NotFound("the request of the stream is gone".to_owned()));
            };
            let outcome = request.source.open(after).await;
            if matches!(outcome, Err(OpenError::Unreachable(_))) {
                *self.request.lock() = Some(request);
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

    fn can_open(&self) -> bool {
        self.request.lock().is_some()
    }

    fn discard(&self) {
        *self.request.lock() = None;
    }
}
