//! The threads that serve clients: one current-thread runtime each, as many as there are cores.
//!
//! A connection stays on the worker it was dealt to; streams are shared between workers. Dropping the last handle stops
//! the threads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// The workers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workers {
    handles: Arc<[Handle]>,
    turn: Arc<AtomicUsize>,
    /// Dropped with the last clone, which ends the threads.
    _stop: Arc<watch::Sender<()>>,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// When the system has no room for a thread or its runtime.
    pub fn start(count: usize) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (stop, stopped) = watch::channel(());
        let mut handles = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for index in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let mut stopped = stopped.clone();
            let run = move || {
                runtime.block_on(async { while stopped.changed().await.is_ok() {} });
            };
            threads.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(run)?);
        }
        Ok((Self { handles: handles.into(), turn: Arc::default(), _stop: Arc::new(stop) }, threads))
    }

    /// The worker whose turn it is.
    pub fn next(&self) -> Handle {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.handles[turn % self.handles.len()].clone()
    }
}
