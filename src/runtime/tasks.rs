//! The only place that spawns tasks, so that a drain knows all of them and every panic is counted.
//!
//! A panic ends tasks that serve one client or stream: connections, response writers, ingests, catch-ups. Tasks that
//! the whole gateway depends on are restarted. All other futures are polled by their owners.

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

/// Spawns tasks and waits for them.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    draining: watch::Sender<Option<Instant>>,
    panics: Panics,
    #[cfg(test)]
    suspension: Suspension,
}

/// Signals the start of the drain. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Draining(watch::Receiver<Option<Instant>>);

/// The pause between a panic and the restart. A task that always panics at once must not occupy a core.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

impl Default for Tasks {
    fn default() -> Self {
        Self::new(Panics::default())
    }
}

impl Tasks {
    /// Starts without tasks and reports their panics to `panics`.
    pub fn new(panics: Panics) -> Self {
        Self {
            tracker: TaskTracker::new(),
            draining: watch::channel(None).0,
            panics,
            #[cfg(test)]
            suspension: Suspension::default(),
        }
    }

    /// Spawns a task on the current runtime. The name appears in the log and in the metrics.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(&Handle::current(), name, "", Box::pin(task));
    }

    /// Spawns a task on the given runtime. `doing` is logged if the task panics.
    pub fn spawn_on<D, F>(&self, runtime: &Handle, name: &'static str, doing: D, task: F)
    where
        D: Display + Send + Unpin + 'static,
        F: Future<Output = ()> + Send + Unpin + 'static,
    {
        #[cfg(test)]
        let task = self.suspension.suspended(task);
        // The panic continues into the runtime, so that the task's state is dropped while the thread is panicking.
        runtime.spawn(self.tracker.track_future(self.panics.watched(name, doing, task)));
    }

    /// Spawns a task that is created again after each panic, one second later.
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

    /// Returns the signal for the start of the drain.
    pub fn draining(&self) -> Draining {
        Draining(self.draining.subscribe())
    }

    /// Returns the time at which the drain started, if it has.
    pub fn draining_since(&self) -> Option<Instant> {
        *self.draining.borrow()
    }

    /// Starts the drain.
    pub fn drain(&self) {
        self.tracker.close();
        self.draining.send_if_modified(|since| {
            let is_new = since.is_none();
            since.get_or_insert_with(Instant::now);
            is_new
        });
    }

    /// Waits until all tasks have ended, at most for `deadline`. Returns the number of remaining tasks.
    pub async fn wait(&self, deadline: Duration) -> usize {
        self.tracker.close();
        match tokio::time::timeout(deadline, self.tracker.wait()).await {
            Ok(()) => 0,
            Err(_) => self.tracker.len(),
        }
    }

    /// Returns the number of tasks.
    pub fn count(&self) -> usize {
        self.tracker.len()
    }

    /// Returns what suspends the tasks.
    #[cfg(test)]
    #[allow(dead_code, reason = "other crates test this file as well")]
    pub(crate) fn suspension(&self) -> &Suspension {
        &self.suspension
    }

    /// Returns the reporter for panics of tasks and of work that they watch.
    pub fn panics(&self) -> &Panics {
        &self.panics
    }
}

/// Suspends all tasks, as a process that is stopped and continued.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub(crate) struct Suspension(Arc<parking_lot::Mutex<Suspended>>);

#[cfg(test)]
#[derive(Debug, Default)]
struct Suspended {
    is_suspended: bool,
    wakers: Vec<std::task::Waker>,
}

#[cfg(test)]
impl Suspension {
    /// Suspends the tasks, or continues them.
    pub(crate) fn set(&self, is_suspended: bool) {
        let wakers = {
            let mut suspended = self.0.lock();
            suspended.is_suspended = is_suspended;
            std::mem::take(&mut suspended.wakers)
        };
        wakers.into_iter().for_each(std::task::Waker::wake);
    }

    fn suspended<F: Future + Unpin>(&self, mut task: F) -> impl Future<Output = F::Output> + Unpin + use<F> {
        let suspended = self.0.clone();
        std::future::poll_fn(move |cx| {
            let mut suspended = suspended.lock();
            if suspended.is_suspended {
                suspended.wakers.push(cx.waker().clone());
                return std::task::Poll::Pending;
            }
            drop(suspended);
            task.poll_unpin(cx)
        })
    }
}

impl Draining {
    /// Waits for the start of the drain and returns its time. Cancel-safe.
    pub async fn started(&mut self) -> Instant {
        loop {
            let since = *self.0.borrow_and_update();
            if let Some(since) = since {
                return since;
            }
            if self.0.changed().await.is_err() {
                // The gateway dropped the sender, which is a drain as well.
                return Instant::now();
            }
        }
    }

    /// Whether the drain has started.
    pub fn has_started(&self) -> bool {
        self.0.borrow().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_restarting_task_is_created_again_after_each_panic() {
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
