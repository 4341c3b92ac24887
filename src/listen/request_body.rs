//! The body of a request, the same over HTTP/1 and HTTP/2.
//!
//! It is read only when it is polled, so a reader that waits makes the client wait: on HTTP/1 the socket is not read, on
//! HTTP/2 the stream's window stays closed. Dropping it before its end tells the client that the rest is not wanted.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// The body of one request.
pub struct RequestBody(Source);

enum Source {
    Http1(Incoming),
    Http2 {
        stream: RecvStream,
        /// Whether only trailers may follow.
        is_data_read: bool,
    },
}

/// The reason why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// The client left, or its message is malformed.
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    /// The client reset the stream, or the connection ended.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

impl RequestBody {
    pub(super) fn http1(body: Incoming) -> Self {
        Self(Source::Http1(body))
    }

    pub(super) fn http2(stream: RecvStream) -> Self {
        Self(Source::Http2 { stream, is_data_read: false })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let (stream, is_data_read) = match &mut self.0 {
            Source::Http1(body) => return Pin::new(body).poll_frame(cx).map_err(RequestBodyError::from),
            Source::Http2 { stream, is_data_read } => (stream, is_data_read),
        };
        if !*is_data_read {
            match ready!(stream.poll_data(cx)) {
                Some(Ok(bytes)) => {
                    // The reader has room, or it would not poll. If this fails, the stream has ended.
                    let _ = stream.flow_control().release_capacity(bytes.len());
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => *is_data_read = true,
            }
        }
        stream.poll_trailers(cx).map(|trailers| match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(error.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Http1(body) => body.is_end_stream(),
            Source::Http2 { stream, .. } => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Http1(body) => body.size_hint(),
            Source::Http2 { stream, .. } if stream.is_end_stream() => SizeHint::with_exact(0),
            Source::Http2 { .. } => SizeHint::default(),
        }
    }
}
