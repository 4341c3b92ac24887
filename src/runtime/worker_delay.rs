//! The lateness of one worker's timers, measured on the worker and read from other threads.
//!
//! A task that computes or blocks for long delays every socket and timer of its worker. The worker sets itself a timer
//! and compares. A worker that is stuck cannot tell, so the reader sees that its timer is overdue.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::sleep;

/// The delays of one worker.
#[derive(Debug)]
pub(super) struct WorkerDelay {
    /// Locked for a few comparisons, and never across an await.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The time at which the worker's timer should fire.
    due: Instant,
    /// The begin of the current window.
    window: Instant,
    /// The longest delay in the current window.
    longest: Duration,
    /// The longest delay in the window before.
    previous: Duration,
}

impl WorkerDelay {
    /// Starts now: a worker whose thread does not run counts as late.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let state = State { due: now + PERIOD, window: now, longest: Duration::ZERO, previous: Duration::ZERO };
        Self { state: Mutex::new(state) }
    }

    /// Measures on the worker that polls this, until dropped.
    pub(super) async fn measure(&self) {
        loop {
            let now = Instant::now();
            self.state.lock().due = now + PERIOD;
            sleep(PERIOD).await;
            self.state.lock().fired(Instant::now());
        }
    }

    /// Returns for how long the timer has been overdue. Zero if it is not.
    pub(super) fn current(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.state.lock().due)
    }

    /// Returns the longest delay within the last 30 to 60 s, the current one included.
    pub(super) fn recent(&self, now: Instant) -> Duration {
        let mut state = self.state.lock();
        state.turn_window(now);
        state.longest.max(state.previous).max(now.saturating_duration_since(state.due))
    }
}

impl State {
    fn fired(&mut self, now: Instant) {
        self.turn_window(now);
        self.longest = self.longest.max(now.saturating_duration_since(self.due));
    }

    fn turn_window(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.window);
        if age >= WINDOW {
            let previous = if age < 2 * WINDOW { self.longest } else { Duration::ZERO };
            (self.window, self.longest, self.previous) = (now, Duration::ZERO, previous);
        }
    }
}

/// The worker's timer. Four wake-ups a second cost nothing that can be measured.
const PERIOD: Duration = Duration::from_millis(250);

/// Longer than the interval of most scrapes, so that each delay is seen by one.
const WINDOW: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_timer_that_has_not_fired_is_as_late_as_it_is_overdue() {
        let delay = WorkerDelay::new();
        let due = delay.state.lock().due;

        assert_eq!(delay.current(due), Duration::ZERO);
        assert_eq!(delay.current(due + 7 * SECOND), 7 * SECOND);
        assert_eq!(delay.recent(due + 7 * SECOND), 7 * SECOND);
    }

    #[test]
    fn a_delay_is_remembered_for_one_window_and_forgotten_after_two() {
        let delay = WorkerDelay::new();
        let due = delay.state.lock().due;
        let fired_at = due + 3 * SECOND;
        delay.state.lock().fired(fired_at);
        // The worker goes on in time.
        let recent = |now| {
            delay.state.lock().due = now + PERIOD;
            delay.recent(now)
        };

        assert_eq!(recent(fired_at), 3 * SECOND);
        assert_eq!(recent(fired_at + WINDOW), 3 * SECOND);
        assert_eq!(recent(fired_at + 2 * WINDOW + SECOND), Duration::ZERO);
    }

    #[tokio::test]
    async fn the_worker_measures_a_task_that_blocks_it() {
        let delay = WorkerDelay::new();
        let blocking = async {
            sleep(Duration::from_millis(10)).await;
            block(PERIOD + Duration::from_millis(100));
            // The timer fires in the poll after this.
            sleep(PERIOD / 5).await;
        };

        tokio::select! {
            () = delay.measure() => unreachable!("it has no end"),
            () = blocking => {}
        }

        assert!(delay.recent(Instant::now()) >= Duration::from_millis(90), "{delay:?}");
        assert_eq!(delay.current(Instant::now()), Duration::ZERO, "it runs again");
    }

    #[expect(clippy::disallowed_methods, reason = "the defect of the test")]
    fn block(time: Duration) {
        std::thread::sleep(time);
    }
}
