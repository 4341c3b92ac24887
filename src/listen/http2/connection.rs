//! One HTTP/2 connection: its requests are answered and its responses sent by one task, on h2.
//!
//! All streams of a connection have their say before the connection is written to: what an event brings to many of them
//! goes out in one write. Where many responses do little each, a task for each would cost more than they do. Does not
//! know what is served; what a connection may take its time over is told by `pace`.

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
use super::resets::{Budget, Resets};
use super::send_window::Shut;
use super::stream::{H2Stream, StreamEnd};
use crate::limits::Limits;
use crate::listen::drain::departure;
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
const MOST_RESET_EARLY: usize = 20;

/// Most streams that we reset for a client's errors.
const MOST_RESET_BY_US: usize = 100;

/// How often a client's silence is looked at within the time that it may be silent.
const LOOKS: u32 = 4;

/// Reads the preface (RFC 9113, 3.4); what serves the connection from there, unless it ends before. What no service hears
/// of is told to `unserved`.
pub(in crate::listen) async fn open<B: ResponseBody, S: Service<B>>(
    transport: Transport,
    peer: Peer,
    service: S,
    limits: &Limits,
    tasks: &Tasks,
    unserved: ProtocolErrors,
) -> Option<Serving<B, S>> {
    let pace = Arc::new(ConnectionTimeouts::of_http2(limits));
    let departure = Box::pin(departure(tasks.draining(), pace.clone(), peer.has_successor));
    let wire = Arc::new(Cork::default());
    let handshake = server::Builder::new()
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(limits.send_buffer)
        // Requests have next to no bodies: small windows are all that a client needs.
        .initial_window_size(RECEIVE_WINDOW)
        .initial_connection_window_size(RECEIVE_WINDOW)
        .max_pending_accept_reset_streams(MOST_RESET_EARLY)
        .max_local_error_reset_streams(Some(MOST_RESET_BY_US))
        .handshake(CorkedWriter::new(transport, wire.clone()));
    let connection = tokio::select! {
        connection = handshake => connection,
        over = slow(&pace) => {
            unserved.slow(over);
            return None;
        }
    };
    let mut connection = connection.inspect_err(|error| unserved.http2(error)).ok()?;
    let pings = connection.ping_pong().expect("taken once");
    let patience = limits.stall_timeout;
    let is_shared = peer.trusted_proxies.contains(peer.address.ip());
    Some(Serving {
        connection,
        wire,
        inbox: SideWaker::default(),
        exchanges: Vec::new(),
        service,
        peer,
        aside: SideWaker::default(),
        tick: Box::pin(sleep(pace.tick())),
        pace,
        departure,
        keepalive: Keepalive { pings, patience, since: Instant::now(), is_asked: false },
        shut: Shut::default(),
        resets: Resets::new((!is_shared).then_some(limits.resets_per_connection)),
        is_leaving: false,
        is_broken: false,
        panics: tasks.panics().clone(),
        unserved,
    })
}

/// Completes when the connection has taken too long over its beginning.
async fn slow(pace: &ConnectionTimeouts) -> TimedOut {
    loop {
        sleep(pace.tick()).await;
        if let Some(over) = pace.over(Instant::now()) {
            return over;
        }
    }
}

/// A connection and what is under way on it: completes when it has ended. A future by hand, because an `async fn` would
/// keep it twice in the memory of every client.
pub(in crate::listen) struct Serving<B, S> {
    connection: Connection<CorkedWriter<Transport>, Bytes>,
    wire: Arc<Cork>,
    /// Where the connection, and not one of its streams, leaves word.
    inbox: SideWaker,
    exchanges: Vec<H2Stream<B>>,
    service: S,
    peer: Peer,
    pace: Arc<ConnectionTimeouts>,
    /// For what is neither the connection nor its streams: time, and the gateway's leaving.
    aside: SideWaker,
    tick: Pin<Box<Sleep>>,
    departure: BoxFuture<'static, ()>,
    keepalive: Keepalive,
    shut: Shut,
    resets: Resets,
    is_leaving: bool,
    /// Whether a panic has left h2 in a state that nothing can be done with.
    is_broken: bool,
    panics: Panics,
    unserved: ProtocolErrors,
}

impl<B: ResponseBody, S: Service<B>> Future for Serving<B, S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some(waker) = this.aside.asked(cx).cloned()
            && this.poll_aside(&mut Context::from_waker(&waker)).is_ready()
        {
            return Poll::Ready(());
        }
        loop {
            // What the streams tell the connection is looked at right after them.
            this.inbox.mute();
            let due = this.poll_exchanges(cx);
            if this.is_broken || this.spend().is_ready() {
                return Poll::Ready(());
            }
            let Some(waker) = this.inbox.asked(cx).cloned() else { return Poll::Pending };
            let cx = &mut Context::from_waker(&waker);
            let known = this.exchanges.len();
            // What several streams have to say goes out together.
            this.wire.hold(due > 1);
            let mut is_ended = this.poll_connection(cx).is_ready();
            if due > 1 && !is_ended {
                this.wire.hold(false);
                is_ended = this.poll_connection(cx).is_ready();
            }
            if is_ended {
                return Poll::Ready(());
            }
            if this.exchanges.len() == known {
                return Poll::Pending;
            }
        }
    }
}

impl<B: ResponseBody, S: Service<B>> Serving<B, S> {
    /// Has h2 read and write; completes when the connection has ended.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match ready!(self.connection.poll_accept(cx)) {
                Some(Ok((request, respond))) => self.accept(request, respond),
                Some(Err(error)) => {
                    self.unserved.http2(&error);
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
        let under_way = self.pace.request();
        let asked = || (self.service)(self.peer.announce(request));
        let Some(answer) = self.panics.catch("request", &self.peer.address, asked) else {
            return respond.send_reset(Reason::INTERNAL_ERROR);
        };
        // One is the rule: no room for more before there are more.
        self.exchanges.reserve_exact(1);
        self.exchanges.push(H2Stream::new(&method, answer, respond, body, under_way));
    }

    /// How many had asked for it. One that panics is reset, and its siblings go on.
    fn poll_exchanges(&mut self, cx: &Context<'_>) -> usize {
        let mut due = 0;
        // From the last one on: what takes the place of one that is done has been polled.
        let mut left = self.exchanges.len();
        let is_polled = Cell::new(false);
        while left > 0 {
            let Self { panics, exchanges, wire, keepalive, resets, peer, .. } = self;
            let polled = panics.catch("exchange", &peer.address, || {
                while left > 0 {
                    left -= 1;
                    is_polled.set(true);
                    let polled = exchanges[left].poll(cx, &wire.window, keepalive.patience);
                    is_polled.set(false);
                    due += usize::from(polled.is_some());
                    let Some(Poll::Ready(ended)) = polled else { continue };
                    match ended {
                        StreamEnd::Done => {}
                        StreamEnd::Reset => resets.add(Instant::now()),
                    }
                    drop(exchanges.swap_remove(left));
                }
            });
            // Else it was gone already, and what it left panicked.
            if polled.is_none() && is_polled.get() {
                let failed = exchanges.swap_remove(left);
                self.is_broken |= panics.catch("exchange", &peer.address, || failed.fail()).is_none();
            }
        }
        if self.exchanges.is_empty() && due > 0 {
            // Never later than it was: else who keeps coming and going would never be looked at.
            let tick = self.tick.deadline().min(Instant::now() + self.pace.tick());
            self.tick.as_mut().reset(tick);
        }
        due
    }

    /// Has a client leave that takes back more than it may; completes when it does not.
    fn spend(&mut self) -> Poll<()> {
        match self.resets.budget() {
            Budget::Kept => {}
            Budget::Spent if self.is_leaving => {}
            Budget::Spent => {
                self.unserved.refused("resets_per_connection");
                self.leave();
            }
            Budget::Overdrawn => return Poll::Ready(()),
        }
        Poll::Pending
    }

    /// Completes when the connection is to be closed at once.
    fn poll_aside(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.tick.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            // While something is under way there is only a dead client to look for.
            let pause = if self.exchanges.is_empty() { self.pace.tick() } else { self.keepalive.patience / LOOKS };
            self.tick.as_mut().reset(now + pause);
            if self.keepalive.is_over(&self.wire, cx, now) {
                return Poll::Ready(());
            }
            if self.shut.is_over(&self.wire.window, self.keepalive.patience, now) {
                self.unserved.refused("connection_window");
                return Poll::Ready(());
            }
            if let Some(over) = self.pace.over(now) {
                // It was told to go a tick ago.
                if self.is_leaving {
                    return Poll::Ready(());
                }
                self.unserved.slow(over);
                self.leave();
            }
        }
        if !self.is_leaving && self.departure.as_mut().poll(cx).is_ready() {
            self.leave();
        }
        Poll::Pending
    }

    /// GOAWAY: what is under way may end, nothing more is taken.
    fn leave(&mut self) {
        self.is_leaving = true;
        self.connection.graceful_shutdown();
        // It has something to send.
        self.inbox.renew();
    }
}

/// Finds out that a client is gone although its connection is not: who is silent is asked for a sign of life. Any byte is
/// one, so that a slow client, for which the question waits behind much else, is not taken for a dead one.
struct Keepalive {
    pings: PingPong,
    /// For how long it may be silent before it is asked, and then how long it may take to answer.
    patience: Duration,
    since: Instant,
    is_asked: bool,
}

impl Keepalive {
    /// Whether no answer has come in time.
    fn is_over(&mut self, wire: &Cork, cx: &mut Context<'_>, now: Instant) -> bool {
        if wire.is_heard() {
            (self.is_asked, self.since) = (false, now);
        }
        if now.duration_since(self.since) < self.patience {
            return false;
        }
        if self.is_asked {
            return true;
        }
        // The last answer is taken, or there could be no next question; one that is still on its way will do as well.
        let _ = self.pings.poll_pong(cx);
        let _ = self.pings.send_ping(Ping::opaque());
        (self.is_asked, self.since) = (true, now);
        false
    }
}
