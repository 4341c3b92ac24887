//! A response body that keeps its request open for the connection's timeouts, and fails only after what came before it.
//!
//! hyper drops the connection when a body fails, with everything that it has not written: of a body that fails at once, the
//! head too.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

use crate::listen::timeouts::RequestGuard;

type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body with the guard of the request that it answers.
pub(super) struct TrackedBody<B> {
    body: B,
    /// The error of the body, until hyper has had a turn to write what came before.
    failure: Option<BodyError>,
    _request: RequestGuard,
}

impl<B> TrackedBody<B> {
    pub(in crate::listen) fn new(body: B, request: RequestGuard) -> Self {
        Self { body, failure: None, _request: request }
    }
}

impl<B: Body<Error: Into<BodyError>> + Unpin> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Err(failure))) => {
                self.failure = Some(failure.into());
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
