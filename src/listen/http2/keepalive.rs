//! The check that the client of an HTTP/2 connection is still there.

use std::task::Context;
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::Instant;

use super::cork::Cork;

/// Detects a client that is gone although its connection is open.
///
/// A silent client gets a PING. Any byte counts as an answer, so that a slow client, for which the PING waits behind
/// much data, is not taken for a dead one.
pub(super) struct Keepalive {
    pings: PingPong,
    /// Longest silence of the client before a PING, and longest time for its answer.
    pub(super) timeout: Duration,
    last_heard: Instant,
    is_ping_sent: bool,
}

impl Keepalive {
    /// Starts with a client that has just been heard.
    pub(super) fn new(pings: PingPong, timeout: Duration) -> Self {
        Self { pings, timeout, last_heard: Instant::now(), is_ping_sent: false }
    }

    /// Returns true if the PING was not answered in time. Sends one when it is due.
    pub(super) fn is_expired(&mut self, cork: &Cork, cx: &mut Context<'_>, now: Instant) -> bool {
        if cork.take_has_read() {
            (self.is_ping_sent, self.last_heard) = (false, now);
        }
        if now.duration_since(self.last_heard) < self.timeout {
            return false;
        }
        if self.is_ping_sent {
            return true;
        }
        // Taking the last PONG is necessary before another PING. If the last PING is still under way, it serves as
        // well.
        let _ = self.pings.poll_pong(cx);
        let _ = self.pings.send_ping(Ping::opaque());
        (self.is_ping_sent, self.last_heard) = (true, now);
        false
    }
}
