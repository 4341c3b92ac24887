//! One HTTP/2 connection: its requests are answered and its responses sent by one task, on h2.
//!
//! All streams of a connection have their say before the connection is written to: what an event brings to many of them
//! goes out in one write. Where many responses do little each, a task for each would cost more than they do. Does not
//! know what is served; what a connection may take its time over is told by `timeouts`.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::server::{self, Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use tokio::time::{Instant, Sleep, sleep};

use super::cork::{Cork, CorkedWriter};
use super::resets::{ResetCounter, ResetLevel};
use super::send_window::WindowStall;
use super::stream::{H2Stream, StreamEnd};
use crate::limits::Limits;
use crate::listen::drain::drain_signal;
use crate::listen::protocol_errors::ProtocolErrors;
use crate::listen::service::{Peer, RequestBodyInfo, ResponseBody, Service};
use crate::listen::timeouts::{ConnectionTimeouts, TimedOut};
use crate::listen::transport::Transport;
use crate::runtime::panics::Panics;
use crate::runtime::side_waker::SideWaker;
use crate::runtime::tasks::Tasks;

/// What a client may send before we read: enough for a ticket request, too little to hurt.
const RECEIVE_WINDOW: u32 = 64 * 1024;

/// Most streams that a client may reset before we have taken them up.
const MAX_PENDING_RESETS: usize = 20;

/// Most streams that we reset for a client's errors.
const MAX_ERROR_RESETS: usize = 100;

/// How often a client's silence is looked at within the time that it may be silent.
const CHECKS_PER_TIMEOUT: u32 = 4;

/// Reads the preface (RFC 9113, 3.4); what serves the connection from there, unless it ends before. What no service hears
/// of is told to `protocol_errors`.
pub(in crate::listen) async fn handshake<B: ResponseBody, S: Service<B>>(
    transport: Transport,
    peer: Peer,
    service: S,
    limits: &Limits,
    tasks: &Tasks,
    protocol_errors: ProtocolErrors,
) -> Option<H2Connection<B, S>> {
    let timeouts = Arc::new(ConnectionTimeouts::for_http2(limits));
    let drain_signal = Box::pin(drain_signal(tasks.draining(), timeouts.clone(), peer.has_successor));
    let cork = Arc::new(Cork::default());
    let preface = server::Builder::new()
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(limits.send_buffer)
        // Requests have next to no bodies: small windows are all that a client needs.
        .initial_window_size(RECEIVE_WINDOW)
        .initial_connection_window_size(RECEIVE_WINDOW)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MAX_ERROR_RESETS))
        .handshake(CorkedWriter::new(transport, cork.clone()));
    let connection = tokio::select! {
        connection = preface => connection,
        timed_out = wait_timed_out(&timeouts) => {
            protocol_errors.on_timeout(timed_out);
            return None;
        }
    };
    let mut connection = connection.inspect_err(|error| protocol_errors.on_http2_error(error)).ok()?;
    let pings = connection.ping_pong().expect("taken once");
    let timeout = limits.stall_timeout;
    let is_trusted_proxy = peer.trusted_proxies.contains(peer.address.ip());
    Some(H2Connection {
        connection,
        cork,
        h2_waker: SideWaker::default(),
        streams: Vec::new(),
        service,
        peer,
        side_waker: SideWaker::default(),
        check: Box::pin(sleep(timeouts.check_interval())),
        timeouts,
        drain_signal,
        keepalive: Keepalive { pings, timeout, last_heard: Instant::now(), is_ping_sent: false },
        window_stall: WindowStall::default(),
        resets: ResetCounter::new((!is_trusted_proxy).then_some(limits.resets_per_connection)),
        is_draining: false,
        is_h2_poisoned: false,
        panics: tasks.panics().clone(),
        protocol_errors,
    })
}

/// Completes when the connection has taken too long over its beginning.
async fn wait_timed_out(timeouts: &ConnectionTimeouts) -> TimedOut {
    loop {
        sleep(timeouts.check_interval()).await;
        if let Some(timed_out) = timeouts.timed_out(Instant::now()) {
            return timed_out;
        }
    }
}

/// A connection and what is under way on it: completes when it has ended. A future by hand, because an `async fn` would
/// keep it twice in the memory of every client.
pub(in crate::listen) struct H2Connection<B, S> {
    connection: Connection<CorkedWriter<Transport>, Bytes>,
    cork: Arc<Cork>,
    /// Where the connection, and not one of its streams, leaves word.
    h2_waker: SideWaker,
    streams: Vec<H2Stream<B>>,
    service: S,
    peer: Peer,
    timeouts: Arc<ConnectionTimeouts>,
    /// For what is neither the connection nor its streams: time, and the gateway's leaving.
    side_waker: SideWaker,
    check: Pin<Box<Sleep>>,
    drain_signal: BoxFuture<'static, ()>,
    keepalive: Keepalive,
    window_stall: WindowStall,
    resets: ResetCounter,
    is_draining: bool,
    /// Whether a panic has left h2 in a state that nothing can be done with.
    is_h2_poisoned: bool,
    panics: Panics,
    protocol_errors: ProtocolErrors,
}

impl<B: ResponseBody, S: Service<B>> Future for H2Connection<B, S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some(waker) = this.side_waker.poll_due(cx).cloned()
            && this.poll_timers(&mut Context::from_waker(&waker)).is_ready()
        {
            return Poll::Ready(());
        }
        loop {
            // What the streams tell the connection is looked at right after them.
            this.h2_waker.suppress_wake();
            let polled_streams = this.poll_streams(cx);
            if this.is_h2_poisoned || this.check_resets().is_ready() {
                return Poll::Ready(());
            }
            let Some(waker) = this.h2_waker.poll_due(cx).cloned() else { return Poll::Pending };
            let cx = &mut Context::from_waker(&waker);
            let stream_count = this.streams.len();
            // What several streams have to say goes out together.
            this.cork.set_corked(polled_streams > 1);
            let mut is_ended = this.poll_connection(cx).is_ready();
            if polled_streams > 1 && !is_ended {
                this.cork.set_corked(false);
                is_ended = this.poll_connection(cx).is_ready();
            }
            if is_ended {
                return Poll::Ready(());
            }
            if this.streams.len() == stream_count {
                return Poll::Pending;
            }
        }
    }
}

impl<B: ResponseBody, S: Service<B>> H2Connection<B, S> {
    /// Has h2 read and write; completes when the connection has ended.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match ready!(self.connection.poll_accept(cx)) {
                Some(Ok((request, respond))) => self.accept(request, respond),
                Some(Err(error)) => {
                    self.protocol_errors.on_http2_error(&error);
                    return Poll::Ready(());
                }
                None => return Poll::Ready(()),
            }
        }
    }

    fn accept(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (head, body) = request.into_parts();
        let method = head.method.clone();
        let request = Request::from_parts(head, RequestBodyInfo { is_empty: body.is_end_stream() });
        let request_guard = self.timeouts.begin_request();
        let call = || (self.service)(self.peer.attach_to(request));
        let Some(response) = self.panics.catch("request", &self.peer.address, call) else {
            return respond.send_reset(Reason::INTERNAL_ERROR);
        };
        // One is the rule: no room for more before there are more.
        self.streams.reserve_exact(1);
        self.streams.push(H2Stream::new(&method, response, respond, body, request_guard));
    }

    /// How many had asked for it. One that panics is reset, and its siblings go on.
    fn poll_streams(&mut self, cx: &Context<'_>) -> usize {
        let mut polled_streams = 0;
        // From the last one on: what takes the place of one that is done has been polled.
        let mut remaining = self.streams.len();
        let is_polling = Cell::new(false);
        while remaining > 0 {
            let Self { panics, streams, cork, keepalive, resets, peer, .. } = self;
            let polled = panics.catch("exchange", &peer.address, || {
                while remaining > 0 {
                    remaining -= 1;
                    is_polling.set(true);
                    let polled = streams[remaining].poll(cx, &cork.window, keepalive.timeout);
                    is_polling.set(false);
                    polled_streams += usize::from(polled.is_some());
                    let Some(Poll::Ready(ended)) = polled else { continue };
                    match ended {
                        StreamEnd::Done => {}
                        StreamEnd::Reset => resets.record(Instant::now()),
                    }
                    drop(streams.swap_remove(remaining));
                }
            });
            // Else it was gone already, and what it left panicked.
            if polled.is_none() && is_polling.get() {
                let failed = streams.swap_remove(remaining);
                self.is_h2_poisoned |= panics.catch("exchange", &peer.address, || failed.reset_after_panic()).is_none();
            }
        }
        if self.streams.is_empty() && polled_streams > 0 {
            // Never later than it was: else who keeps coming and going would never be looked at.
            let check = self.check.deadline().min(Instant::now() + self.timeouts.check_interval());
            self.check.as_mut().reset(check);
        }
        polled_streams
    }

    /// Has a client leave that takes back more than it may; completes when it does not.
    fn check_resets(&mut self) -> Poll<()> {
        match self.resets.level() {
            ResetLevel::Allowed => {}
            ResetLevel::Excessive if self.is_draining => {}
            ResetLevel::Excessive => {
                self.protocol_errors.on_refused("resets_per_connection");
                self.drain();
            }
            ResetLevel::Abusive => return Poll::Ready(()),
        }
        Poll::Pending
    }

    /// Completes when the connection is to be closed at once.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.check.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            // While something is under way there is only a dead client to look for.
            let pause = if self.streams.is_empty() {
                self.timeouts.check_interval()
            } else {
                self.keepalive.timeout / CHECKS_PER_TIMEOUT
            };
            self.check.as_mut().reset(now + pause);
            if self.keepalive.is_expired(&self.cork, cx, now) {
                return Poll::Ready(());
            }
            if self.window_stall.is_too_long(&self.cork.window, self.keepalive.timeout, now) {
                self.protocol_errors.on_refused("connection_window");
                return Poll::Ready(());
            }
            if let Some(timed_out) = self.timeouts.timed_out(now) {
                // It was told to go a tick ago.
                if self.is_draining {
                    return Poll::Ready(());
                }
                self.protocol_errors.on_timeout(timed_out);
                self.drain();
            }
        }
        if !self.is_draining && self.drain_signal.as_mut().poll(cx).is_ready() {
            self.drain();
        }
        Poll::Pending
    }

    /// GOAWAY: what is under way may end, nothing more is taken.
    fn drain(&mut self) {
        self.is_draining = true;
        self.connection.graceful_shutdown();
        // It has something to send.
        self.h2_waker.rearm();
    }
}

/// Finds out that a client is gone although its connection is not: who is silent is asked for a sign of life. Any byte is
/// one, so that a slow client, for which the question waits behind much else, is not taken for a dead one.
struct Keepalive {
    pings: PingPong,
    /// For how long it may be silent before it is asked, and then how long it may take to answer.
    timeout: Duration,
    last_heard: Instant,
    is_ping_sent: bool,
}

impl Keepalive {
    /// Whether no answer has come in time.
    fn is_expired(&mut self, cork: &Cork, cx: &mut Context<'_>, now: Instant) -> bool {
        if cork.take_has_read() {
            (self.is_ping_sent, self.last_heard) = (false, now);
        }
        if now.duration_since(self.last_heard) < self.timeout {
            return false;
        }
        if self.is_ping_sent {
            return true;
        }
        // The last answer is taken, or there could be no next question; one that is still on its way will do as well.
        let _ = self.pings.poll_pong(cx);
        let _ = self.pings.send_ping(Ping::opaque());
        (self.is_ping_sent, self.last_heard) = (true, now);
        false
    }
}
