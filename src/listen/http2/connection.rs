//! One HTTP/2 connection: one task answers its requests and sends its responses, on top of h2.
//!
//! All streams are polled before the connection is written to, so an event for many streams leaves in one write. Where
//! each response does little, a task for each would cost more than its work.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::time::{Instant, Sleep, sleep};

use super::cork::{Cork, CorkFlag, H2Flag, TimerFlag};
use super::corked_writer::CorkedWriter;
use super::keepalive::Keepalive;
use super::preface::read_preface;
use super::send_window::WindowStall;
use super::stream::{H2Stream, are_too_many_blocked};
use super::stream_end::StreamEnd;
use crate::limits::Limits;
use crate::listen::client_faults::{ClientFaults, FaultLevel};
use crate::listen::drain::drain_signal;
use crate::listen::protocol_errors::ProtocolErrors;
use crate::listen::request_body::RequestBody;
use crate::listen::service::{DEADLINE_INTERVAL, IncomingRequest, Peer, ResponseBody, Service};
use crate::listen::timeouts::ConnectionTimeouts;
use crate::listen::transport::Transport;
use crate::runtime::memory::{MemoryCharge, MemoryKind, MemoryLedger, MemoryLevel};
use crate::runtime::panics::Panics;
use crate::runtime::side_waker::SideWaker;
use crate::runtime::tasks::Tasks;
use crate::runtime::turn::TurnBudget;
use crate::runtime::turn_owner::TurnOwner;
use crate::runtime::turn_queue::QueuedTurn;

/// The memory of an open stream, as measured: in h2, here, and of the response to a subscription. In bytes.
const STREAM_WEIGHT: usize = 2560;

/// The memory that h2 keeps for a reset stream while the connection's window is closed, as measured. In bytes.
const KEPT_RESET_WEIGHT: usize = 512;

/// Most requests that are accepted before they are polled, which answers most of them. One that was accepted and not
/// polled takes 3 KiB; in h2 it takes less.
const ACCEPTED_AT_ONCE: usize = 8;

/// Checks for a silent client within the keepalive timeout.
const CHECKS_PER_TIMEOUT: u32 = 4;

/// Reads the preface (RFC 9113, 3.4) and returns the future that serves the connection. Returns `None` if the
/// connection ends before that. Errors that no service sees are reported to `protocol_errors`.
pub(in crate::listen) async fn handshake<B: ResponseBody, S: Service<B>>(
    transport: Transport,
    peer: Arc<Peer>,
    service: S,
    limits: &Limits,
    tasks: &Tasks,
    ledger: &Arc<MemoryLedger>,
    protocol_errors: ProtocolErrors,
) -> Option<H2Connection<B, S>> {
    let timeouts = Arc::new(ConnectionTimeouts::for_http2(limits));
    let drain_signal = Box::pin(drain_signal(tasks.draining(), timeouts.clone(), peer.has_successor));
    let cork = Arc::new(Cork::default());
    let mut connection =
        read_preface(CorkedWriter::new(transport, cork.clone()), limits, &timeouts, &protocol_errors).await?;
    let pings = connection.ping_pong().expect("taken once");
    let is_trusted_proxy = peer.trusted_proxies.contains(peer.address.ip());
    let owner = TurnOwner::of_client(peer.address, is_trusted_proxy, limits);
    Some(H2Connection {
        connection,
        h2_waker: SideWaker::with_flag(CorkFlag(cork.clone())),
        side_waker: SideWaker::with_flag(CorkFlag(cork.clone())),
        cork,
        streams: Vec::new(),
        service,
        peer,
        check: Box::pin(sleep(timeouts.check_interval())),
        timeouts,
        drain_signal,
        keepalive: Keepalive::new(pings, limits.stall_timeout),
        window_stall: WindowStall::default(),
        memory: MemoryCharge::new(ledger, MemoryKind::Http2, 0),
        faults: ClientFaults::new((!is_trusted_proxy).then_some(limits.resets_per_connection)),
        is_draining: false,
        has_ended: false,
        turn: QueuedTurn::new(owner),
        has_waiting_requests: false,
        is_h2_poisoned: false,
        panics: tasks.panics().clone(),
        protocol_errors,
    })
}

/// Serves a connection and its streams, until the connection has ended.
///
/// A hand-written future, because an `async fn` would keep its arguments twice in the memory of every client. The order of
/// the fields is their layout in memory: those that each event touches come first and lie together.
#[repr(C)]
pub(in crate::listen) struct H2Connection<B, S> {
    /// The waker of timers and the drain signal.
    side_waker: SideWaker<TimerFlag>,
    has_ended: bool,
    is_draining: bool,
    /// Whether the last turn may have left requests for this one.
    has_waiting_requests: bool,
    /// Whether a panic has left h2 in an unknown state.
    is_h2_poisoned: bool,
    cork: Arc<Cork>,
    panics: Panics,
    /// The waker of the connection itself, as opposed to its streams.
    h2_waker: SideWaker<H2Flag>,
    streams: Vec<H2Stream<B>>,
    memory: MemoryCharge,
    turn: QueuedTurn,
    faults: ClientFaults,
    peer: Arc<Peer>,
    keepalive: Keepalive,
    connection: Connection<CorkedWriter<Transport>, Bytes>,
    service: S,
    timeouts: Arc<ConnectionTimeouts>,
    check: Pin<Box<Sleep>>,
    drain_signal: BoxFuture<'static, ()>,
    window_stall: WindowStall,
    protocol_errors: ProtocolErrors,
}

impl<B: ResponseBody, S: Service<B>> Future for H2Connection<B, S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.has_ended = this.has_ended || this.poll_served(cx).is_ready();
        if this.has_ended { this.poll_released(cx) } else { Poll::Pending }
    }
}

impl<B: ResponseBody, S: Service<B>> H2Connection<B, S> {
    /// Serves the connection. Completes when it has ended, or must end.
    fn poll_served(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let this = self;
        if let Some(waker) = this.side_waker.poll_due(cx).cloned()
            && this.poll_timers(&mut Context::from_waker(&waker)).is_ready()
        {
            return Poll::Ready(());
        }
        let Some(mut budget) = this.poll_turn(cx) else {
            // Whatever woke the task is seen when its turn comes.
            return Poll::Pending;
        };
        this.cork.begin_turn();
        if std::mem::take(&mut this.has_waiting_requests) {
            // Those first: h2 closes a connection that resets many requests before they are accepted.
            this.cork.end_reading();
        }
        loop {
            // The connection is polled right after the streams, so their wake-ups need not wake the task.
            this.h2_waker.suppress_wake();
            let polled_streams = this.poll_streams(cx, &mut budget);
            if this.is_h2_poisoned || this.check_faults().is_ready() {
                return Poll::Ready(());
            }
            let Some(waker) = this.h2_waker.poll_due(cx).cloned() else { break };
            let h2_cx = &mut Context::from_waker(&waker);
            let stream_count = this.streams.len();
            // The frames of several streams leave together.
            this.cork.set_corked(polled_streams > 1);
            let mut accepted = this.poll_connection(h2_cx, &mut budget);
            if polled_streams > 1 && accepted.is_continue() {
                this.cork.set_corked(false);
                accepted = this.poll_connection(h2_cx, &mut budget);
            }
            let ControlFlow::Continue(accepted) = accepted else { return Poll::Ready(()) };
            this.cork.note_polled();
            if budget.is_spent() || (this.streams.len() == stream_count && accepted == 0 && !this.cork.is_pass_read()) {
                break;
            }
            // There may be more to accept. Until all have been accepted, nothing more is read: h2 counts requests that
            // the client resets before that against it.
            if accepted < ACCEPTED_AT_ONCE {
                this.cork.begin_pass();
            }
            this.h2_waker.rearm();
        }
        // After the writes, so that only what waits for the client counts, and a client that keeps up changes nothing.
        if this.check_memory().is_ready() {
            return Poll::Ready(());
        }
        this.has_waiting_requests = budget.is_spent();
        if this.has_waiting_requests || this.cork.is_turn_read() {
            // There may be more to read, to accept or to answer, and nothing else wakes the task for it.
            this.h2_waker.rearm();
            // Pending at the first poll, which takes a place in the queue.
            let _ = this.turn.poll(cx);
        }
        Poll::Pending
    }

    /// Drops the streams that are left, in turns: many connections may end at the same moment.
    fn poll_released(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut budget) = self.poll_turn(cx) else { return Poll::Pending };
        while let Some(stream) = self.streams.pop() {
            drop(stream);
            budget.spend(0);
            if budget.is_spent() {
                self.memory.resize((self.streams.len() * STREAM_WEIGHT) as u64);
                return self.turn.poll(cx);
            }
        }
        Poll::Ready(())
    }

    /// Returns the budget of this poll, or nothing while the connection waits for its turn.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Option<TurnBudget> {
        match self.turn.is_waiting() {
            false => Some(TurnBudget::unqueued()),
            true => self.turn.poll(cx).is_ready().then(TurnBudget::default),
        }
    }

    /// Lets h2 read and write, and accepts some requests within the budget. Returns their number, or breaks when the
    /// connection has ended.
    fn poll_connection(&mut self, cx: &mut Context<'_>, budget: &mut TurnBudget) -> ControlFlow<(), usize> {
        for accepted in 0..ACCEPTED_AT_ONCE {
            if budget.is_spent() {
                // Requests wait in h2 and in the socket.
                self.cork.end_reading();
            }
            let polled = if budget.is_spent() || are_too_many_blocked(&self.streams) {
                self.connection.poll_closed(cx).map(|closed| closed.err().map(Err))
            } else {
                self.connection.poll_accept(cx)
            };
            match polled {
                Poll::Pending => return ControlFlow::Continue(accepted),
                Poll::Ready(Some(Ok((request, respond)))) => {
                    budget.spend(0);
                    self.accept(request, respond);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.protocol_errors.on_http2_error(&error);
                    return ControlFlow::Break(());
                }
                Poll::Ready(None) => return ControlFlow::Break(()),
            }
        }
        ControlFlow::Continue(ACCEPTED_AT_ONCE)
    }

    fn accept(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (head, body) = request.into_parts();
        let method = head.method.clone();
        let peer = self.peer.clone();
        let is_body_empty = body.is_end_stream();
        let body = Some(RequestBody::http2(body));
        let request = IncomingRequest { head, peer, is_ambiguous: false, is_body_empty, body, handoff: None };
        let request_guard = self.timeouts.begin_request();
        let call = || (self.service)(request);
        let Some(response) = self.panics.catch("request", &self.peer.address, call) else {
            return respond.send_reset(Reason::INTERNAL_ERROR);
        };
        // One stream is the usual case, so the list grows by one at first, and then by an eighth.
        if self.streams.len() == self.streams.capacity() {
            self.streams.reserve_exact(1 + self.streams.len() / 8);
        }
        self.streams.push(H2Stream::new(&method, response, respond, request_guard));
    }

    /// Polls the streams that were woken, and returns their number. Requests that are over the budget stay woken. A
    /// stream that panics is reset, and its siblings go on.
    fn poll_streams(&mut self, cx: &Context<'_>, budget: &mut TurnBudget) -> usize {
        let (mut polled_streams, mut has_blocked) = (0, false);
        // Backwards, so that the stream that `swap_remove` moves here has been polled already.
        let mut remaining = self.streams.len();
        let is_polling = Cell::new(false);
        while remaining > 0 {
            let Self { panics, streams, cork, keepalive, faults, peer, memory, .. } = self;
            let polled = panics.catch("exchange", &peer.address, || {
                while remaining > 0 {
                    remaining -= 1;
                    is_polling.set(true);
                    let stall_timeout = keepalive.timeout;
                    let polled = streams[remaining].poll(cx, &cork.window, stall_timeout, memory.ledger(), budget);
                    is_polling.set(false);
                    polled_streams += usize::from(polled.is_some());
                    has_blocked |= polled.is_some() && streams[remaining].is_blocked();
                    let Some(Poll::Ready(ended)) = polled else { continue };
                    match ended {
                        StreamEnd::Done => {}
                        StreamEnd::Reset => {
                            cork.window.note_reset();
                            faults.record(Instant::now());
                        }
                        StreamEnd::Refused => faults.record(Instant::now()),
                    }
                    drop(streams.swap_remove(remaining));
                }
            });
            // Otherwise the stream was already removed, and its drop panicked.
            if polled.is_none() && is_polling.get() {
                let failed = streams.swap_remove(remaining);
                self.is_h2_poisoned |= panics.catch("exchange", &peer.address, || failed.reset_after_panic()).is_none();
            }
        }
        if polled_streams > 0 && (has_blocked || self.streams.is_empty()) {
            // Never later than planned. Otherwise a client that keeps opening and closing streams would never be
            // checked.
            let planned = self.check.deadline();
            let check = Instant::now() + self.check_interval();
            if check < planned {
                self.check.as_mut().reset(check);
            }
        }
        polled_streams
    }

    /// Charges the connection for what it holds. Completes if that is more than its part while memory is full.
    fn check_memory(&mut self) -> Poll<()> {
        let held = self.streams.len() * STREAM_WEIGHT
            + self.cork.window.kept_resets() * KEPT_RESET_WEIGHT
            + self.cork.waiting_bytes();
        self.memory.resize(held as u64);
        let ledger = self.memory.ledger();
        if self.memory.bytes() <= ledger.part() || ledger.level() < MemoryLevel::Full {
            return Poll::Pending;
        }
        self.protocol_errors.on_refused("memory");
        Poll::Ready(())
    }

    /// Drains a connection whose client resets too many streams, or has too many requests refused. Completes if the client does not stop.
    fn check_faults(&mut self) -> Poll<()> {
        match self.faults.level() {
            FaultLevel::Allowed => {}
            FaultLevel::Excessive if self.is_draining => {}
            FaultLevel::Excessive => {
                self.protocol_errors.on_refused("resets_per_connection");
                self.drain();
            }
            FaultLevel::Abusive => return Poll::Ready(()),
        }
        Poll::Pending
    }

    /// Polls timers and the drain signal. Completes when the connection must be closed at once.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.check.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            self.streams.iter_mut().for_each(H2Stream::check_deadlines);
            let next = now + self.check_interval();
            self.check.as_mut().reset(next);
            if self.keepalive.is_expired(&self.cork, cx, now) {
                return Poll::Ready(());
            }
            if self.window_stall.is_too_long(&self.cork.window, self.keepalive.timeout, now) {
                self.protocol_errors.on_refused("connection_window");
                return Poll::Ready(());
            }
            if let Some(timed_out) = self.timeouts.timed_out(now) {
                // GOAWAY was sent at the previous check.
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

    /// Returns the time to the next check. While streams are open, only a dead client, a closed window and blocked streams
    /// need checking.
    fn check_interval(&self) -> Duration {
        let interval = self.keepalive.timeout / CHECKS_PER_TIMEOUT;
        match self.streams.iter().any(H2Stream::is_blocked) {
            true => interval.min(DEADLINE_INTERVAL),
            false if self.streams.is_empty() => self.timeouts.check_interval(),
            false => interval,
        }
    }

    /// Sends GOAWAY: open streams may end, and no new ones are accepted.
    fn drain(&mut self) {
        self.is_draining = true;
        self.connection.graceful_shutdown();
        // h2 now has a frame to send.
        self.h2_waker.rearm();
    }
}
