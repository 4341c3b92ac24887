//! Every kind of response body.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::http::delivery::event_body::{CutOff, EventBody};
use crate::listen;

/// A response's body.
pub enum AppBody {
    /// Known whole; `None` when it is empty or has been given.
    Whole(Option<Bytes>),
    /// One chunk and then nothing, for ever: the connection is taken over before more is due.
    Opening(Option<Bytes>),
    /// Events from the log.
    Events(Box<EventBody>),
}

impl AppBody {
    /// Nothing.
    pub fn empty() -> Self {
        Self::Whole(None)
    }

    /// All of it; never an empty chunk.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl listen::ResponseBody for AppBody {
    fn poll_deadline(&mut self, cx: &mut Context<'_>, is_stalled: bool) -> Poll<()> {
        match self {
            Self::Events(events) => events.poll_deadline(cx, is_stalled),
            // A client without a window could keep it for ever.
            Self::Whole(_) | Self::Opening(_) if is_stalled => Poll::Ready(()),
            Self::Whole(_) | Self::Opening(_) => Poll::Pending,
        }
    }

    fn on_panic(&mut self) {
        match self {
            Self::Events(events) => events.on_panic(),
            Self::Whole(_) | Self::Opening(_) => {}
        }
    }
}

impl Body for AppBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            // Nobody is to be woken: hyper is done with this connection.
            Self::Opening(bytes) => {
                bytes.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
            }
            Self::Events(events) => Pin::new(events).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Opening(_) | Self::Events(_) => SizeHint::default(),
        }
    }
}
