//! How long a connection may take over what: a head, a pause between requests, its first request.
//!
//! hyper has one timeout for both a slow head and an idle connection; these are two different things to an operator.
//! Only times are kept here; whoever drives the connection asks now and then whether it is over.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::Limits;
use crate::runtime::arithmetic;

/// What one connection is doing, as seen from its bytes and its requests.
#[derive(Debug)]
pub struct ConnectionTimeouts {
    header_timeout: Duration,
    idle_timeout: Duration,
    /// Whose time a head takes: the configuration's key.
    header_limit: &'static str,
    state: Mutex<State>,
}

/// What a connection has taken too long over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimedOut {
    /// A head that it owed; the name of the limit.
    Head(&'static str),
    /// A pause between requests.
    Idle,
}

#[derive(Debug)]
struct State {
    open_requests: usize,
    /// Whether there has been none yet.
    awaits_first_request: bool,
    /// Since when the connection has had no request.
    idle_since: Instant,
    /// Since when bytes of a head have been coming. A new connection owes a head from its first moment.
    head_since: Option<Instant>,
}

impl ConnectionTimeouts {
    /// For a connection that starts now.
    pub fn for_http1(limits: &Limits) -> Self {
        Self::with_header_timeout(limits, limits.header_timeout, "header_timeout")
    }

    /// For an HTTP/2 connection that starts now. Of its bytes only whole requests are seen here, so its preface and its
    /// first request share the shorter of their times.
    pub fn for_http2(limits: &Limits) -> Self {
        let times = [(limits.header_timeout, "header_timeout"), (limits.handshake_timeout, "handshake_timeout")];
        let (time, header_limit) = times.into_iter().min().expect("there are two");
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

    /// Bytes came.
    pub fn on_read(&self) {
        let mut state = self.state.lock();
        if state.open_requests == 0 {
            state.head_since.get_or_insert_with(Instant::now);
        }
    }

    /// A request's head is complete. It is over when the returned value is dropped.
    pub fn begin_request(self: &std::sync::Arc<Self>) -> RequestGuard {
        let mut state = self.state.lock();
        state.open_requests += 1;
        state.awaits_first_request = false;
        state.head_since = None;
        RequestGuard(self.clone())
    }

    /// Whether a request is being answered.
    pub fn has_open_request(&self) -> bool {
        self.state.lock().open_requests > 0
    }

    /// Whether nothing has been asked on it yet.
    pub fn awaits_first_request(&self) -> bool {
        self.state.lock().awaits_first_request
    }

    /// What the connection has taken too long over, if it has.
    pub fn timed_out(&self, now: Instant) -> Option<TimedOut> {
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

    /// How often to ask.
    pub fn check_interval(&self) -> Duration {
        let shortest = self.header_timeout.min(self.idle_timeout);
        arithmetic::clamp(shortest / 4, Duration::from_millis(10), Duration::from_secs(1))
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct RequestGuard(std::sync::Arc<ConnectionTimeouts>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.open_requests -= 1;
        state.idle_since = Instant::now();
    }
}
