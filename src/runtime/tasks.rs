//! The only place that starts tasks, so that a drain knows them all and a panic in one is counted and not lost.
//!
//! What serves somebody ends with its panic: connections and what carries them on, ingests, catch-ups. What the whole
//! gateway rests on is begun anew. Everything else is a future polled by its owner.

use std::fmt::Display;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::panics::Panics;

/// Starts tasks and waits for them.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    draining: watch::Sender<Option<Instant>>,
    panics: Panics,
}

/// Tells when the gateway began to leave. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Draining(watch::Receiver<Option<Instant>>);

/// Between a panic and the next attempt: what panics at once, and always, must not take a core.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

impl Default for Tasks {
    fn default() -> Self {
        Self::new(Panics::default())
    }
}

impl Tasks {
    /// No tasks; their panics are told to `panics`.
    pub fn new(panics: Panics) -> Self {
        Self { tracker: TaskTracker::new(), draining: watch::channel(None).0, panics }
    }

    /// Starts a task on the current runtime. The name is for the log and the metrics.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(&Handle::current(), name, "", Box::pin(task));
    }

    /// Starts a task on the given runtime; what it is doing is for the log, if it panics.
    pub fn spawn_on<D, F>(&self, runtime: &Handle, name: &'static str, doing: D, task: F)
    where
        D: Display + Send + Unpin + 'static,
        F: Future<Output = ()> + Send + Unpin + 'static,
    {
        // The panic goes on into the runtime, so that what the task owns is dropped by somebody who panics.
        runtime.spawn(self.tracker.track_future(self.panics.watched(name, doing, task)));
    }

    /// Starts a task that is made anew, after a pause, each time it panics.
    pub fn spawn_restarting<F>(&self, name: &'static str, doing: &str, make: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (panics, doing) = (self.panics.clone(), Arc::<str>::from(doing));
        self.spawn(name, async move {
            loop {
                let begun = panics.watched(name, doing.clone(), Box::pin(make()));
                if AssertUnwindSafe(begun).catch_unwind().await.is_ok() {
                    return;
                }
                sleep(RESTART_PAUSE).await;
            }
        });
    }

    /// The signal that the gateway is leaving.
    pub fn draining(&self) -> Draining {
        Draining(self.draining.subscribe())
    }

    /// Says that the gateway is leaving.
    pub fn drain(&self) {
        self.tracker.close();
        self.draining.send_if_modified(|since| {
            let is_new = since.is_none();
            since.get_or_insert_with(Instant::now);
            is_new
        });
    }

    /// Waits until all tasks have ended, at most for `deadline`; returns how many are left.
    pub async fn wait(&self, deadline: Duration) -> usize {
        self.tracker.close();
        match tokio::time::timeout(deadline, self.tracker.wait()).await {
            Ok(()) => 0,
            Err(_) => self.tracker.len(),
        }
    }

    /// How many tasks there are now.
    pub fn count(&self) -> usize {
        self.tracker.len()
    }

    /// Where panics of tasks, and of what they look after, are told.
    pub fn panics(&self) -> &Panics {
        &self.panics
    }
}

impl Draining {
    /// When it began; waits until it does. Cancel-safe.
    pub async fn started(&mut self) -> Instant {
        loop {
            let since = *self.0.borrow_and_update();
            if let Some(since) = since {
                return since;
            }
            if self.0.changed().await.is_err() {
                // The sender went away with the gateway: that is leaving as well.
                return Instant::now();
            }
        }
    }

    /// Whether it has begun.
    pub fn has_started(&self) -> bool {
        self.0.borrow().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_made_anew_when_it_panics() {
        let (tasks, begun) = (Tasks::default(), Arc::new(AtomicU64::new(0)));
        let count = begun.clone();

        tasks.spawn_restarting("kept", "counting", move || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move {
                assert!(number > 2, "for the test");
            }
        });

        assert_eq!(tasks.wait(Duration::from_secs(60)).await, 0, "its end is its end");
        assert_eq!((begun.load(Ordering::Relaxed), tasks.panics().count()), (4, 3));
    }
}
