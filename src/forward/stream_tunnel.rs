//! The client's side of a tunnel that is one HTTP/2 stream (RFC 8441): its request and response bodies as one byte stream.
//!
//! Both directions are bounded: what the client sends is read only when the tunnel reads, and a client that takes nothing
//! makes the tunnel wait. A clean end of the tunnel ends the response; any other end cuts it off.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body::{Body, Frame};
use http_body_util::BodyDataStream;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio_util::io::{ReaderStream, StreamReader};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::download::BrokenResponse;
use crate::listen::RequestBody;

/// The stream as the tunnel reads and writes it.
pub struct StreamTransport {
    received: Box<dyn AsyncRead + Send + Unpin>,
    sent: DuplexStream,
    is_complete: Arc<AtomicBool>,
    abandoned: CancellationToken,
}

/// The response body: what the tunnel writes.
pub struct TunnelBody {
    pieces: ReaderStream<DuplexStream>,
    is_complete: Arc<AtomicBool>,
    /// Held for its drop.
    _abandoned: DropGuard,
}

/// The most bytes that wait between the tunnel and the client.
const WAITING_BYTES: usize = 8 * 1024;

impl StreamTransport {
    /// Makes one byte stream of a request's body, and returns the body that its response must have.
    pub fn new(received: RequestBody) -> (Self, TunnelBody) {
        let (sent, taken) = duplex(WAITING_BYTES);
        let (is_complete, abandoned) = (Arc::<AtomicBool>::default(), CancellationToken::new());
        let body = TunnelBody {
            pieces: ReaderStream::with_capacity(taken, WAITING_BYTES),
            is_complete: is_complete.clone(),
            _abandoned: abandoned.clone().drop_guard(),
        };
        let received = Box::new(StreamReader::new(BodyDataStream::new(received).map_err(io::Error::other)));
        (Self { received, sent, is_complete, abandoned }, body)
    }

    /// Returns a future that completes when the response has ended: it was sent, or the client has left.
    pub fn abandoned(&self) -> impl Future<Output = ()> + Send + 'static {
        self.abandoned.clone().cancelled_owned()
    }
}

impl AsyncRead for StreamTransport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.received).poll_read(cx, buffer)
    }
}

impl AsyncWrite for StreamTransport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.sent).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.sent).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_complete.store(true, Relaxed);
        Pin::new(&mut self.sent).poll_shutdown(cx)
    }
}

impl Body for TunnelBody {
    type Data = Bytes;
    type Error = BrokenResponse;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenResponse>>> {
        Poll::Ready(match ready!(Pin::new(&mut self.pieces).poll_next(cx)) {
            Some(Ok(piece)) => Some(Ok(Frame::data(piece))),
            None if self.is_complete.load(Relaxed) => None,
            Some(Err(_)) | None => Some(Err(BrokenResponse)),
        })
    }
}
