//! The body of a forwarded response, as its client reads it.
//!
//! Polled only while the client takes bytes. If the upstream breaks off or falls silent, the body ends with an error, so
//! that the client never takes a part for the whole.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::exchange_limits::ExchangePermit;

/// The body of a response on its way to a client. Holds the exchange open.
pub struct Download {
    body: Incoming,
    idle_timeout: Duration,
    /// The time since which the upstream is waited for.
    waiting_since: Option<Instant>,
    idle: Option<Pin<Box<Sleep>>>,
    progress: Arc<DownloadProgress>,
    exchange: ExchangePermit,
}

/// The response ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("response cut off")]
pub struct BrokenResponse;

/// The progress of a body, for a connection whose client may read nothing.
#[derive(Debug, Default)]
pub struct DownloadProgress {
    frames: AtomicU64,
    /// Whether the last frame waits for the client.
    waits_for_client: AtomicBool,
}

/// The longest time between two looks at the progress.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl Download {
    pub(crate) fn new(body: Incoming, idle_timeout: Duration, exchange: ExchangePermit) -> Self {
        Self { body, idle_timeout, waiting_since: None, idle: None, progress: Arc::default(), exchange }
    }

    /// Returns the progress of the body.
    pub fn progress(&self) -> Weak<DownloadProgress> {
        Arc::downgrade(&self.progress)
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = *self.waiting_since.get_or_insert_with(Instant::now) + self.idle_timeout;
        loop {
            let idle = self.idle.get_or_insert_with(|| Box::pin(sleep_until(until)));
            ready!(idle.as_mut().poll(cx));
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            // The timer of an earlier wait. Setting it anew for each frame would cost more than this.
            self.idle = None;
        }
    }
}

impl DownloadProgress {
    /// Completes when a frame has waited for the client for `stall_timeout`. Never completes once the body is gone.
    pub async fn stalled(progress: Weak<Self>, stall_timeout: Duration) {
        let interval = CHECK_INTERVAL.min(stall_timeout / 4);
        let (mut frames, mut since) = (0, Instant::now());
        loop {
            sleep(interval).await;
            let Some(progress) = progress.upgrade() else { return std::future::pending().await };
            let now = progress.frames.load(Relaxed);
            if now != frames || !progress.waits_for_client.load(Relaxed) {
                (frames, since) = (now, Instant::now());
            } else if since.elapsed() >= stall_timeout {
                return;
            }
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BrokenResponse;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenResponse>>> {
        self.progress.waits_for_client.store(false, Relaxed);
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => self.poll_idle(cx).map(|()| Some(Err(BrokenResponse))),
            Poll::Ready(frame) => {
                self.waiting_since = None;
                if let Some(Ok(frame)) = &frame {
                    let count = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                    self.exchange.metrics().sent_to_client(count);
                    self.progress.frames.fetch_add(1, Relaxed);
                    self.progress.waits_for_client.store(true, Relaxed);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(|_| BrokenResponse)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
