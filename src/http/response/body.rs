//! The response body: bytes that are known, the prelude of a connection that is taken over, events, or what an upstream
//! sends.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http_body::{Body, Frame, SizeHint};

use crate::forward::{BrokenResponse, Download, TunnelBody};
use crate::http::delivery::event_body::{CutOff, EventBody};
use crate::listen::{self, PreludeBody};
use crate::stream::BrokenAnswer;

/// The body of a response.
pub enum AppBody {
    /// All bytes; `None` once they have been sent, or if there are none.
    Full(Option<Bytes>),
    /// The prelude of a connection that is handed off.
    Prelude(PreludeBody),
    /// Events from the log.
    Events(Box<EventBody>),
    /// An upstream's answer that is no event stream.
    Answer(BoxStream<'static, Result<Bytes, BrokenAnswer>>),
    /// The body of an upstream's response.
    Forwarded(Box<Download>),
    /// The bytes of an upstream, on an HTTP/2 stream that has become a byte stream.
    Tunnel(Box<TunnelBody>),
}

impl AppBody {
    /// Returns a body without bytes.
    pub fn empty() -> Self {
        Self::Full(None)
    }

    /// Returns a body of these bytes. It never yields an empty frame.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Full((!bytes.is_empty()).then_some(bytes))
    }
}

impl listen::ResponseBody for AppBody {
    fn poll_deadline(&mut self, cx: &mut Context<'_>, is_stalled: bool, stall_timeout: Duration) -> Poll<()> {
        match self {
            Self::Events(events) => events.poll_deadline(cx, is_stalled, stall_timeout),
            // Otherwise a client without a window could keep the response forever.
            Self::Full(_) | Self::Prelude(_) | Self::Answer(_) | Self::Forwarded(_) | Self::Tunnel(_) if is_stalled => {
                Poll::Ready(())
            }
            Self::Full(_) | Self::Prelude(_) | Self::Answer(_) | Self::Forwarded(_) | Self::Tunnel(_) => Poll::Pending,
        }
    }

    fn on_panic(&mut self) {
        match self {
            Self::Events(events) => events.on_panic(),
            Self::Full(_) | Self::Prelude(_) | Self::Answer(_) | Self::Forwarded(_) | Self::Tunnel(_) => {}
        }
    }
}

impl Body for AppBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Prelude(prelude) => {
                Pin::new(prelude).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Self::Events(events) => Pin::new(events).poll_frame(cx),
            Self::Answer(pieces) => pieces
                .poll_next_unpin(cx)
                .map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(|BrokenAnswer| CutOff))),
            Self::Forwarded(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|BrokenResponse| CutOff)))
            }
            Self::Tunnel(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|BrokenResponse| CutOff)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Prelude(_) | Self::Events(_) | Self::Answer(_) | Self::Tunnel(_) => false,
            Self::Forwarded(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Prelude(_) | Self::Events(_) | Self::Answer(_) | Self::Tunnel(_) => SizeHint::default(),
            Self::Forwarded(body) => body.size_hint(),
        }
    }
}
