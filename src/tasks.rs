//! The only place that starts tasks, so that a drain knows them all and a panic in one is counted and not lost.
//!
//! Four kinds of task exist: services, connections (and what carries them on), ingests and catch-ups. Everything else is
//! a future polled by its owner.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::error;

/// Starts tasks and waits for them.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    draining: watch::Sender<Option<Instant>>,
    panics: Arc<AtomicU64>,
}

/// Tells when the gateway began to leave. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Draining(watch::Receiver<Option<Instant>>);

impl Default for Tasks {
    fn default() -> Self {
        Self { tracker: TaskTracker::new(), draining: watch::channel(None).0, panics: Arc::default() }
    }
}

impl Tasks {
    /// Starts a task on the current runtime. The name is for the log.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(&Handle::current(), name, task);
    }

    /// Starts a task on the given runtime.
    pub fn spawn_on(&self, runtime: &Handle, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let panics = self.panics.clone();
        // By combinators: an `async` block would keep the task twice in the memory of every client.
        let task = AssertUnwindSafe(task).catch_unwind().map(move |ended| {
            if let Err(panic) = ended {
                panics.fetch_add(1, Ordering::Relaxed);
                error!(task = name, "task panicked");
                resume_unwind(panic);
            }
        });
        runtime.spawn(self.tracker.track_future(task));
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

    /// How many tasks have panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

impl Draining {
    /// When it began; waits until it does. Cancel-safe.
    pub async fn since(&mut self) -> Instant {
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
    pub fn has_begun(&self) -> bool {
        self.0.borrow().is_some()
    }
}
