//! The timer of a client's heartbeats.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The heartbeat timer. It is reset only when it fires, and not for each event.
pub(super) struct Heartbeat {
    last_write: Instant,
    timer: Pin<Box<Sleep>>,
    /// True if one must be sent.
    pub(super) is_due: bool,
}

impl Heartbeat {
    /// Starts the timer.
    pub(super) fn new(interval: Duration) -> Self {
        let now = Instant::now();
        Self { last_write: now, timer: Box::pin(sleep_until(now + interval)), is_due: false }
    }

    /// Notes that bytes were written now.
    pub(super) fn postpone(&mut self, now: Instant) {
        (self.last_write, self.is_due) = (now, false);
    }

    /// Finds out whether a heartbeat is due.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, interval: Duration) {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = self.last_write + interval;
            self.is_due = now >= due;
            self.timer.as_mut().reset(if self.is_due { now + interval } else { due });
        }
    }
}
