//! The timeouts of a connection: for a request head, for the first request, and for idling.
//!
//! hyper has one timeout for both a slow head and an idle connection. For an operator these are two different things.
//! This file only keeps times. The task that drives the connection checks them at an interval.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::limits::Limits;
use crate::runtime::arithmetic;

/// The timeouts of one connection, and its state as seen from bytes and requests.
#[derive(Debug)]
pub(super) struct ConnectionTimeouts {
    header_timeout: Duration,
    idle_timeout: Duration,
    /// The configuration key of `header_timeout`, for the refusal's reason.
    header_limit: &'static str,
    state: Mutex<State>,
}

/// The timeout that a connection exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimedOut {
    /// The request head did not arrive in time. Holds the name of the limit.
    Head(&'static str),
    /// The connection was idle for too long between requests.
    Idle,
}

#[derive(Debug)]
struct State {
    open_requests: usize,
    /// Whether the connection has had no request yet.
    awaits_first_request: bool,
    /// The time since which the connection has had no request.
    idle_since: Instant,
    /// The time since which a head is due. On a new connection it is due from the start, later from its first byte.
    head_since: Option<Instant>,
}

impl ConnectionTimeouts {
    /// Starts the timeouts of an HTTP/1 connection.
    pub(super) fn for_http1(limits: &Limits) -> Self {
        Self::with_header_timeout(limits, limits.header_timeout, "header_timeout")
    }

    /// Starts the timeouts of an HTTP/2 connection.
    ///
    /// Its bytes are not seen here, only whole requests. So the preface and the first request share the shorter of
    /// `header_timeout` and `handshake_timeout`.
    pub(super) fn for_http2(limits: &Limits) -> Self {
        let times = [(limits.header_timeout, "header_timeout"), (limits.handshake_timeout, "handshake_timeout")];
        let (time, header_limit) = times.into_iter().min().expect("the array has two elements");
        Self::with_header_timeout(limits, time, header_limit)
    }

    fn with_header_timeout(limits: &Limits, header_timeout: Duration, header_limit: &'static str) -> Self {
        let now = Instant::now();
        Self {
            header_timeout,
            idle_timeout: limits.idle_timeout,
            header_limit,
            state: Mutex::new(State {
                open_requests: 0,
                awaits_first_request: true,
                idle_since: now,
                head_since: Some(now),
            }),
        }
    }

    /// Records that bytes arrived.
    pub(super) fn on_read(&self) {
        let mut state = self.state.lock();
        if state.open_requests == 0 {
            state.head_since.get_or_insert_with(Instant::now);
        }
    }

    /// Records a complete request head. The request ends when the returned guard is dropped.
    pub(super) fn begin_request(self: &std::sync::Arc<Self>) -> RequestGuard {
        let mut state = self.state.lock();
        state.open_requests += 1;
        state.awaits_first_request = false;
        state.head_since = None;
        RequestGuard(self.clone())
    }

    /// Returns true while a request is being answered.
    pub(super) fn has_open_request(&self) -> bool {
        self.state.lock().open_requests > 0
    }

    /// Returns true until the first request.
    pub(super) fn awaits_first_request(&self) -> bool {
        self.state.lock().awaits_first_request
    }

    /// Completes when the connection has exceeded a timeout. Cancel-safe.
    pub(super) async fn wait_timed_out(&self) -> TimedOut {
        loop {
            sleep(self.check_interval()).await;
            if let Some(timed_out) = self.timed_out(Instant::now()) {
                return timed_out;
            }
        }
    }

    /// Returns the timeout that the connection has exceeded, if any.
    pub(super) fn timed_out(&self, now: Instant) -> Option<TimedOut> {
        let state = self.state.lock();
        let has_passed = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        if state.open_requests > 0 {
            None
        } else if state.head_since.is_some_and(|since| has_passed(since, self.header_timeout)) {
            Some(TimedOut::Head(self.header_limit))
        } else {
            has_passed(state.idle_since, self.idle_timeout).then_some(TimedOut::Idle)
        }
    }

    /// Returns the interval at which to check: a quarter of the shorter timeout, between 10 ms and 1 s.
    pub(super) fn check_interval(&self) -> Duration {
        let shortest = self.header_timeout.min(self.idle_timeout);
        arithmetic::clamp(shortest / 4, Duration::from_millis(10), Duration::from_secs(1))
    }
}

/// Keeps a request open for the timeouts until it is dropped.
#[derive(Debug)]
pub(super) struct RequestGuard(std::sync::Arc<ConnectionTimeouts>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.open_requests -= 1;
        state.idle_since = Instant::now();
    }
}
