//! One HTTP/2 stream: its request is answered, and the response is sent.
//!
//! Polled by its connection, and only after it was woken.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::Reason;
use h2::server::SendResponse;
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderValue, Method, Response};

use super::body_sender::BodySender;
use super::send_window::SendWindow;
use super::stream_end::StreamEnd;
use crate::listen::service::ResponseBody;
use crate::listen::timeouts::RequestGuard;
use crate::runtime::memory::MemoryLedger;
use crate::runtime::side_waker::SideWaker;
use crate::runtime::turn::TurnBudget;

/// One request, and then its response. The fields that each event touches come first in memory.
#[repr(C)]
pub(in crate::listen) struct H2Stream<B> {
    side_waker: SideWaker,
    state: State<B>,
    _request: RequestGuard,
}

enum State<B> {
    AwaitingResponse(AwaitingResponse<B>),
    SendingBody(BodySender<B>),
}

struct AwaitingResponse<B> {
    response: BoxFuture<'static, Response<B>>,
    responder: SendResponse<Bytes>,
    is_head_request: bool,
    /// False until the first poll, which answers most requests.
    is_polled: bool,
}

/// Most streams of one connection whose responses wait for the client. It has no more requests accepted meanwhile, which
/// would take five times the memory that they have in h2.
const MAX_BLOCKED: usize = 128;

/// Returns true if the client has to take some of its responses before further requests are accepted. A request that was
/// accepted and not polled yet may be another one.
pub(in crate::listen) fn are_too_many_blocked<B: ResponseBody>(streams: &[H2Stream<B>]) -> bool {
    streams.len() >= MAX_BLOCKED && streams.iter().filter(|stream| stream.may_be_blocked()).count() >= MAX_BLOCKED
}

impl<B: ResponseBody> H2Stream<B> {
    /// Creates the stream of a request with this `method`.
    pub(in crate::listen) fn new(
        method: &Method,
        response: BoxFuture<'static, Response<B>>,
        responder: SendResponse<Bytes>,
        request: RequestGuard,
    ) -> Self {
        let awaiting =
            AwaitingResponse { response, responder, is_head_request: method == Method::HEAD, is_polled: false };
        Self { state: State::AwaitingResponse(awaiting), side_waker: SideWaker::default(), _request: request }
    }

    /// Returns true if a chunk waits for the client.
    pub(in crate::listen) fn is_blocked(&self) -> bool {
        match &self.state {
            State::SendingBody(sending) => sending.is_blocked(),
            State::AwaitingResponse(_) => false,
        }
    }

    /// Returns true if a chunk waits for the client, or may do so after the first poll.
    fn may_be_blocked(&self) -> bool {
        match &self.state {
            State::SendingBody(sending) => sending.is_blocked(),
            State::AwaitingResponse(awaiting) => !awaiting.is_polled,
        }
    }

    /// Makes the next [`Self::poll`] check the deadlines of a chunk that waits.
    pub(in crate::listen) fn check_deadlines(&mut self) {
        if self.is_blocked() {
            self.side_waker.rearm();
        }
    }

    /// Returns `None` if the stream was not woken. Otherwise polls it, and completes when it has ended. Dropping it
    /// before that resets the stream.
    ///
    /// A client may take nothing for `stall_timeout` while a chunk waits. A request is an item of the `budget`; while
    /// that is spent, it is not polled and stays woken. Responses go on.
    pub(in crate::listen) fn poll(
        &mut self,
        cx: &Context<'_>,
        window: &SendWindow,
        stall_timeout: Duration,
        ledger: &Arc<MemoryLedger>,
        budget: &mut TurnBudget,
    ) -> Option<Poll<StreamEnd>> {
        if budget.is_spent() && matches!(self.state, State::AwaitingResponse(_)) {
            return None;
        }
        let waker = self.side_waker.poll_due(cx)?;
        let cx = &mut Context::from_waker(waker);
        if let State::AwaitingResponse(awaiting) = &mut self.state {
            awaiting.is_polled = true;
            let answered = awaiting.poll(cx);
            // Afterwards, so that the time for it counts.
            budget.spend(0);
            match answered {
                Poll::Ready(Ok(sending)) => self.state = State::SendingBody(sending),
                Poll::Ready(Err(ended)) => return Some(Poll::Ready(ended)),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        match &mut self.state {
            State::SendingBody(sending) => Some(sending.poll(cx, window, stall_timeout, ledger)),
            State::AwaitingResponse(_) => unreachable!("it has been answered"),
        }
    }
}

impl<B: ResponseBody> H2Stream<B> {
    /// Resets the stream with INTERNAL_ERROR after it panicked. Its siblings go on (RFC 9113, 5.4.2).
    pub(in crate::listen) fn reset_after_panic(self) {
        match self.state {
            State::AwaitingResponse(mut awaiting) => awaiting.responder.send_reset(Reason::INTERNAL_ERROR),
            State::SendingBody(sending) => sending.reset_after_panic(),
        }
    }
}

impl<B: ResponseBody> AwaitingResponse<B> {
    /// Completes when the head has been sent, or the stream has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodySender<B>, StreamEnd>> {
        if let Poll::Ready(reset) = self.responder.poll_reset(cx) {
            return Poll::Ready(Err(StreamEnd::of(&reset)));
        }
        let (mut head, body) = ready!(self.response.as_mut().poll(cx)).into_parts();
        let complete = StreamEnd::of_complete(head.status);
        // An origin server with a clock sends `Date` (RFC 9110, 6.6.1).
        head.headers.entry(DATE).or_insert_with(date);
        if let (false, Some(length)) = (body.is_end_stream(), body.size_hint().exact()) {
            head.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
        }
        // Keeps the values out of the HPACK table (RFC 7541, 7.1.3), which would hold them for as long as the
        // connection lives.
        head.headers.values_mut().for_each(|value| value.set_sensitive(true));
        // A response to HEAD has no content (RFC 9110, 9.3.2).
        let is_end_of_stream = self.is_head_request || body.is_end_stream();
        let stream = self.responder.send_response(Response::from_parts(head, ()), is_end_of_stream);
        if stream.is_err() {
            self.responder.send_reset(Reason::INTERNAL_ERROR);
        }
        let stream = stream.ok().filter(|_| !is_end_of_stream).ok_or(complete);
        Poll::Ready(stream.map(|stream| BodySender::new(stream, complete, body)))
    }
}

fn date() -> HeaderValue {
    HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())).expect("a date is visible ASCII")
}
