//! Connections to an upstream's origins, for hyper-util's client.
//!
//! The same name lookups, attempts, timeouts and TLS as for streams.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, FutureExt};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use crate::runtime::connect_budget::ConnectBudget;
use crate::upstream::{Io, UpstreamSettings, connect};

/// Connects to the origins of one upstream.
#[derive(Clone)]
pub(super) struct OriginConnector {
    pub(super) upstream: Arc<UpstreamSettings>,
    pub(super) budget: ConnectBudget,
}

/// The reason for which there is no connection, with the address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ConnectFailed(pub(super) String);

/// A connection to an origin.
pub(super) struct OriginIo(TokioIo<Box<dyn Io>>);

impl Service<Uri> for OriginConnector {
    type Response = OriginIo;
    type Error = ConnectFailed;
    type Future = BoxFuture<'static, Result<OriginIo, ConnectFailed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { upstream, budget } = self.clone();
        async move {
            let is_wanted = |origin: &&crate::upstream::Origin| {
                Some(&origin.scheme) == uri.scheme() && Some(&origin.authority) == uri.authority()
            };
            let origin = upstream.origins.iter().find(is_wanted).expect("requests are sent to the origins only");
            connect(&budget, &upstream, origin).await.map(|io| OriginIo(TokioIo::new(io))).map_err(ConnectFailed)
        }
        .boxed()
    }
}

impl Connection for OriginIo {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for OriginIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for OriginIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }
}
