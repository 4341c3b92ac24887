//! One HTTP/2 stream: its request is answered, and the response is sent as fast as the client's windows allow.
//!
//! Polled by its connection, and only after it was woken. A chunk of the body waits here until there is capacity (RFC
//! 9113, 5.2). Meanwhile the body's deadline is polled, and a response that waited too long is reset alone (RFC 9113,
//! 5.4.2).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderValue, Method, Response, StatusCode};
use tokio::time::Instant;

use super::send_window::SendWindow;
use crate::listen::client_faults::is_client_fault;
use crate::listen::service::ResponseBody;
use crate::listen::timeouts::RequestGuard;
use crate::runtime::memory::{MemoryCharge, MemoryKind, MemoryLedger};
use crate::runtime::side_waker::SideWaker;
use crate::runtime::turn::TurnBudget;

/// The way in which a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::listen) enum StreamEnd {
    /// The stream is complete, or the connection is gone.
    Done,
    /// The response, which is complete, refused the request because of what the client sent.
    Refused,
    /// The client reset the stream.
    Reset,
}

/// One request, and then its response.
pub(in crate::listen) struct H2Stream<B> {
    state: State<B>,
    side_waker: SideWaker,
    _request: RequestGuard,
}

enum State<B> {
    AwaitingResponse(AwaitingResponse<B>),
    SendingBody(SendingBody<B>),
}

struct AwaitingResponse<B> {
    response: BoxFuture<'static, Response<B>>,
    responder: SendResponse<Bytes>,
    is_head_request: bool,
    /// False until the first poll, which answers most requests.
    is_polled: bool,
}

struct SendingBody<B> {
    stream: SendStream<Bytes>,
    /// The end if the whole response is sent.
    complete: StreamEnd,
    body: B,
    /// True once the body has failed. The stream is reset at the next poll.
    has_failed: bool,
    /// Waits for capacity.
    chunk: Option<Bytes>,
    /// Set while the client takes nothing.
    stall: Option<Box<Stall>>,
}

/// Most streams of one connection whose responses wait for the client. It has no more requests accepted meanwhile, which
/// would take five times the memory that they have in h2.
const MAX_BLOCKED: usize = 128;

/// Returns true if the client has to take some of its responses before further requests are accepted. A request that was
/// accepted and not polled yet may be another one.
pub(in crate::listen) fn are_too_many_blocked<B: ResponseBody>(streams: &[H2Stream<B>]) -> bool {
    streams.len() >= MAX_BLOCKED && streams.iter().filter(|stream| stream.may_be_blocked()).count() >= MAX_BLOCKED
}

/// A chunk that waits for the client.
struct Stall {
    /// The end of the client's time. The connection has the timer.
    until: Instant,
    /// The chunk's memory, unless it shares that with the event log.
    _charge: MemoryCharge,
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
            State::SendingBody(sending) => sending.stall.is_some(),
            State::AwaitingResponse(_) => false,
        }
    }

    /// Returns true if a chunk waits for the client, or may do so after the first poll.
    fn may_be_blocked(&self) -> bool {
        match &self.state {
            State::SendingBody(sending) => sending.stall.is_some(),
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
            State::SendingBody(mut sending) => {
                sending.body.on_panic();
                sending.stream.send_reset(Reason::INTERNAL_ERROR);
            }
        }
    }
}

impl StreamEnd {
    /// Classifies a stream whose response is complete.
    fn of_complete(status: StatusCode) -> Self {
        if is_client_fault(status) { Self::Refused } else { Self::Done }
    }

    /// Classifies a stream that ended without us: by a reset of the client, or with the connection.
    fn of(reset: &Result<Reason, h2::Error>) -> Self {
        if reset.is_ok() { Self::Reset } else { Self::Done }
    }
}

impl<B: ResponseBody> AwaitingResponse<B> {
    /// Completes when the head has been sent, or the stream has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendingBody<B>, StreamEnd>> {
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
        Poll::Ready(stream.map(|stream| SendingBody {
            stream,
            complete,
            body,
            has_failed: false,
            chunk: None,
            stall: None,
        }))
    }
}

impl<B: ResponseBody> SendingBody<B> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        window: &SendWindow,
        stall_timeout: Duration,
        ledger: &Arc<MemoryLedger>,
    ) -> Poll<StreamEnd> {
        // h2 also wakes the stored waker for our own calls. A no-op waker avoids that while this stream is running.
        if let Poll::Ready(reset) = self.stream.poll_reset(&mut Context::from_waker(Waker::noop())) {
            return Poll::Ready(StreamEnd::of(&reset));
        }
        if self.has_failed {
            self.stream.send_reset(Reason::INTERNAL_ERROR);
            return Poll::Ready(StreamEnd::Done);
        }
        loop {
            if let Some(mut chunk) = self.chunk.take() {
                let capacity = match self.poll_capacity(cx) {
                    Poll::Ready(Some(capacity)) => capacity,
                    Poll::Ready(None) => return Poll::Ready(StreamEnd::Done),
                    Poll::Pending => {
                        window.note_blocked();
                        let stall = self.stall.get_or_insert_with(|| {
                            let copied = if chunk.is_unique() { chunk.len() } else { 0 };
                            let _charge = MemoryCharge::new(ledger, MemoryKind::Bodies, copied as u64);
                            let until = Instant::now() + stall_timeout;
                            Box::new(Stall { until, _charge })
                        });
                        self.chunk = Some(chunk);
                        let is_stalled = Instant::now() >= stall.until;
                        return self.body.poll_deadline(cx, is_stalled, stall_timeout).map(|()| StreamEnd::Done);
                    }
                };
                self.stall = None;
                // Pass only as much as there is capacity for. The rest would wait inside h2, where no deadline applies.
                let part = chunk.split_to(chunk.len().min(capacity));
                let is_last = chunk.is_empty() && self.body.is_end_stream();
                window.consume(part.len());
                if self.stream.send_data(part, is_last).is_err() || is_last {
                    return Poll::Ready(self.complete);
                }
                if !chunk.is_empty() {
                    self.stream.reserve_capacity(chunk.len());
                    self.chunk = Some(chunk);
                    continue;
                }
            }
            let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(cx) else {
                return self.stream.poll_reset(cx).map(|reset| StreamEnd::of(&reset));
            };
            match polled {
                Some(Ok(frame)) if frame.is_trailers() => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    // If this fails, the stream has ended already.
                    let _ = self.stream.send_trailers(trailers);
                    return Poll::Ready(self.complete);
                }
                Some(Ok(frame)) => {
                    // Reserve capacity only when there is something to send. Capacity that one stream holds of the
                    // connection's window is lost to the others.
                    self.chunk = frame.into_data().ok().filter(|chunk| !chunk.is_empty());
                    self.stream.reserve_capacity(self.chunk.as_ref().map_or(0, Bytes::len));
                }
                Some(Err(_)) => {
                    // h2 forgets what it has not written of a stream that is reset. Let it write head and data first, as
                    // far as the client takes them.
                    self.has_failed = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => {
                    // If this fails, the stream has ended already.
                    let _ = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(self.complete);
                }
            }
        }
    }

    /// Waits for send capacity and returns it, in bytes. Returns nothing if the stream has ended.
    fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        loop {
            match self.stream.capacity() {
                0 => match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(None),
                },
                capacity => return Poll::Ready(Some(capacity)),
            }
        }
    }
}

fn date() -> HeaderValue {
    HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())).expect("a date is visible ASCII")
}
