//! An upgraded connection (RFC 9110, 7.8): bytes between a client and its upstream, as they come.
//!
//! It ends when both sides have closed, when either fails, after `idle_timeout` without a byte in either direction, and
//! when it may no longer go on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep_until};

use super::exchange_limits::ExchangePermit;
use crate::telemetry::ForwardMetrics;

/// An upstream's side of an upgraded connection, once its response has been read.
pub struct Tunnel {
    upstream: OnUpgrade,
    idle_timeout: Duration,
    exchange: ExchangePermit,
}

/// The client's side. Counts bytes and remembers the last one.
struct Observed<C> {
    transport: C,
    activity: Arc<Activity>,
}

struct Activity {
    started: Instant,
    /// The time of the last byte, in milliseconds since `started`.
    last: AtomicU64,
    metrics: Arc<ForwardMetrics>,
}

impl Tunnel {
    /// Takes the upstream's side from its response with 101.
    pub fn new(response: Response<Incoming>, idle_timeout: Duration, exchange: ExchangePermit) -> Self {
        Self { upstream: hyper::upgrade::on(response), idle_timeout, exchange }
    }

    /// Copies bytes in both directions until an end, or until `ended` completes. `read_ahead` are bytes that the client
    /// has sent already.
    pub async fn run(
        self,
        client: impl AsyncRead + AsyncWrite + Unpin,
        read_ahead: Vec<u8>,
        ended: impl Future<Output = ()>,
    ) {
        let Ok(upstream) = self.upstream.await else { return };
        let (mut upstream, started) = (TokioIo::new(upstream), Instant::now());
        let metrics = self.exchange.metrics().clone();
        metrics.sent_to_upstream(read_ahead.len() as u64);
        let activity = Arc::new(Activity { started, last: AtomicU64::new(0), metrics });
        let mut client = Observed { transport: client, activity: activity.clone() };
        let copied = async {
            upstream.write_all(&read_ahead).await?;
            copy_bidirectional(&mut client, &mut upstream).await
        };
        tokio::select! {
            // Whatever it was that failed, both sides are closed now.
            _ = copied => {}
            () = activity.idle_for(self.idle_timeout) => {}
            () = ended => {}
        }
    }
}

impl Activity {
    fn note(&self) {
        self.last.store(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Completes when there has been no byte for so long.
    async fn idle_for(&self, timeout: Duration) {
        loop {
            let until = self.started + Duration::from_millis(self.last.load(Relaxed)) + timeout;
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Observed<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(cx, buffer))?;
        self.activity.metrics.sent_to_upstream((buffer.filled().len() - before) as u64);
        self.activity.note();
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Observed<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.transport).poll_write(cx, bytes))?;
        self.activity.metrics.sent_to_client(count as u64);
        self.activity.note();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}
