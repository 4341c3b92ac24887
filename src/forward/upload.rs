//! The body of a forwarded request, as hyper sends it to the upstream.
//!
//! Polled only while the upstream takes bytes. The state outlives it: it says who is being waited for, and why the body
//! ended early, which hyper's own error does not.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use super::forward_error::ForwardError;
use crate::listen::RequestBody;
use crate::telemetry::ForwardMetrics;

/// A request body on its way to an upstream. An attempt that fails before its first byte leaves it to the next.
pub(super) struct Upload {
    state: Arc<UploadState>,
    size: SizeHint,
    /// Runs while the client is waited for.
    idle: Option<Pin<Box<Sleep>>>,
}

/// The state of a request body.
pub(super) struct UploadState {
    /// `None` if the body is empty. Locked while it is polled, by one poller at a time.
    body: Mutex<Option<RequestBody>>,
    max_bytes: u64,
    idle_timeout: Duration,
    bytes: AtomicU64,
    waits_for_client: AtomicBool,
    /// The time of the last progress, in milliseconds since `started`.
    progress: AtomicU64,
    started: Instant,
    fault: Mutex<Option<ForwardError>>,
    metrics: Arc<ForwardMetrics>,
}

impl UploadState {
    /// Begins with a body, or with none if it is empty.
    pub(super) fn new(
        body: Option<RequestBody>,
        max_bytes: u64,
        idle_timeout: Duration,
        metrics: Arc<ForwardMetrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            body: Mutex::new(body),
            max_bytes,
            idle_timeout,
            bytes: AtomicU64::new(0),
            waits_for_client: AtomicBool::new(false),
            progress: AtomicU64::new(0),
            started: Instant::now(),
            fault: Mutex::default(),
            metrics,
        })
    }

    /// Returns the body for one attempt.
    pub(super) fn attempt(self: &Arc<Self>) -> Upload {
        let size = self.body.lock().as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        Upload { state: self.clone(), size, idle: None }
    }

    /// Returns the time since which the upstream owes something: the start, or the last byte that it took. `None` while the
    /// client is waited for.
    pub(super) fn upstream_silent_since(&self) -> Option<Instant> {
        let progress = Duration::from_millis(self.progress.load(Relaxed));
        (!self.waits_for_client.load(Relaxed)).then(|| self.started + progress)
    }

    /// Returns the reason for which the body ended early, if it did.
    pub(super) fn fault(&self) -> Option<ForwardError> {
        self.fault.lock().clone()
    }

    fn note_progress(&self) {
        let since = self.started.elapsed().as_millis();
        self.progress.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
    }

    fn last_progress(&self) -> Instant {
        self.started + Duration::from_millis(self.progress.load(Relaxed))
    }
}

impl Upload {
    /// Completes when the client has sent nothing for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let until = self.state.last_progress() + self.state.idle_timeout;
            let idle = self.idle.get_or_insert_with(|| Box::pin(sleep_until(until)));
            ready!(idle.as_mut().poll(cx));
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            self.idle = None;
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = ForwardError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ForwardError>>> {
        let state = self.state.clone();
        let polled = match &mut *state.body.lock() {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        };
        let fault = match polled {
            Poll::Pending => {
                if !state.waits_for_client.swap(true, Relaxed) {
                    state.note_progress();
                }
                ready!(self.poll_idle(cx));
                ForwardError::BodyStalled
            }
            Poll::Ready(frame) => {
                state.waits_for_client.store(false, Relaxed);
                state.note_progress();
                match frame {
                    None => return Poll::Ready(None),
                    Some(Err(_)) => ForwardError::BodyBroken,
                    Some(Ok(frame)) => {
                        let count = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                        state.metrics.sent_to_upstream(count);
                        if state.bytes.fetch_add(count, Relaxed) + count <= state.max_bytes {
                            return Poll::Ready(Some(Ok(frame)));
                        }
                        ForwardError::BodyTooLarge { max: state.max_bytes }
                    }
                }
            }
        };
        state.fault.lock().get_or_insert_with(|| fault.clone());
        Poll::Ready(Some(Err(fault)))
    }

    fn is_end_stream(&self) -> bool {
        self.state.body.lock().as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}
