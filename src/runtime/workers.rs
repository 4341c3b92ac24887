//! The threads that serve clients: one current-thread runtime per core. Also the only place that starts other threads,
//! for blocking work.
//!
//! A connection stays on the worker that accepted it; workers share streams. The threads end on [`Workers::stop`] or
//! with the last handle, which cuts off any task that still runs on them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::panics;
use super::wake_queue::WakeQueue;
use super::worker_delay::WorkerDelay;

/// Starts a thread that is not a worker.
///
/// # Errors
/// The system cannot create a thread.
pub fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// Runs blocking work on a thread for it. A panic of the work continues here. Cancel-safe, but work that has begun is
/// finished.
pub async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(move || panics::catch_remote(run)).await {
        Ok(Ok(done)) => done,
        Ok(Err(panic)) => panic.resume(),
        // The runtime is shutting down, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

/// The worker threads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workers {
    handles: Arc<[Handle]>,
    /// By worker, like the handles.
    delays: Arc<[Arc<WorkerDelay>]>,
    next_index: Arc<AtomicUsize>,
    /// A change ends the threads, and so does the drop of the last sender.
    stop: Arc<watch::Sender<()>>,
}

impl Workers {
    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    /// The system cannot create a thread or its runtime.
    pub fn start(count: usize) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (stop, stopped) = watch::channel(());
        let mut handles = Vec::with_capacity(count);
        let mut delays = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for index in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let mut stopped = stopped.clone();
            let delay = Arc::new(WorkerDelay::new());
            delays.push(delay.clone());
            let run = move || {
                let wakes = Arc::new(WakeQueue::default());
                wakes.clone().make_current();
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped.changed() => {}
                        () = delay.measure() => {}
                        () = wakes.run() => {}
                    }
                });
            };
            threads.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(run)?);
        }
        let (handles, delays) = (handles.into(), delays.into());
        Ok((Self { handles, delays, next_index: Arc::default(), stop: Arc::new(stop) }, threads))
    }

    /// Ends the threads. Dropping this handle would not suffice, because tasks on the workers may hold others.
    pub fn stop(self) {
        self.stop.send_replace(());
    }

    /// Returns whether each worker runs a new task within this time. A worker that does not serves no client.
    pub async fn respond_within(&self, within: Duration) -> bool {
        let (answer, mut answers) = mpsc::channel(self.handles.len());
        for handle in &*self.handles {
            let answer = answer.clone();
            handle.spawn(async move {
                // The channel has room for all, and the receiver may have timed out.
                let _ = answer.try_send(());
            });
        }
        let all = async {
            for _ in &*self.handles {
                answers.recv().await;
            }
        };
        timeout(within, all).await.is_ok()
    }

    /// Returns the worker whose timers are late by most now, and by how much. Every worker is known by its index.
    pub fn latest(&self) -> (usize, Duration) {
        let now = Instant::now();
        let delays = self.delays.iter().map(|delay| delay.current(now)).enumerate();
        delays.max_by_key(|(_, delay)| *delay).expect("there is at least one worker")
    }

    /// Returns the longest delay of any worker's timers within the last 30 to 60 s.
    pub fn recent_delay(&self) -> Duration {
        let now = Instant::now();
        self.delays.iter().map(|delay| delay.recent(now)).max().unwrap_or_default()
    }

    /// Returns the next worker in turn.
    pub fn next(&self) -> Handle {
        let next_index = self.next_index.fetch_add(1, Ordering::Relaxed);
        self.handles[next_index % self.handles.len()].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_are_dealt_to_all_workers_evenly() {
        let (workers, threads) = Workers::start(4).expect("threads");
        let name = || std::thread::current().name().map(str::to_owned);
        let mut counts = std::collections::BTreeMap::new();

        for _ in 0..100 {
            *counts.entry(workers.clone().next().spawn(async move { name() }).await.expect("no panic")).or_insert(0) +=
                1;
        }

        assert_eq!(counts.into_values().collect::<Vec<_>>(), [25; 4]);
        workers.stop();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    }

    #[tokio::test]
    async fn a_stuck_worker_is_detected() {
        const SOON: Duration = Duration::from_secs(20);
        let (workers, threads) = Workers::start(3).expect("threads");
        assert!(workers.respond_within(SOON).await);

        let (release, released) = std::sync::mpsc::channel::<()>();
        workers.next().spawn(async move {
            let _ = released.recv();
        });

        assert!(!workers.respond_within(Duration::from_millis(700)).await);
        let (stuck, delay) = workers.latest();
        assert_eq!(stuck, 0);
        assert!(delay > Duration::ZERO && workers.recent_delay() >= delay);
        drop(release);
        assert!(workers.respond_within(SOON).await);
        workers.stop();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
}
