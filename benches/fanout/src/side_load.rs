//! Clients in a thread of their own, on a given core.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Outcome;
use crate::load::{ClientSettings, Load};
use crate::process;

/// Clients in a thread on one core, which receive until they are taken over or dropped.
pub struct SideLoad {
    running: Running,
    is_connected: Receiver<()>,
    thread: JoinHandle<Result<Load, String>>,
}

#[derive(Default)]
struct Shared {
    events: AtomicU64,
    is_stopped: AtomicBool,
}

/// Ends the thread when it is dropped.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.is_stopped.store(true, Ordering::Relaxed);
    }
}

impl SideLoad {
    /// Starts to connect `count` clients from a thread on `core`.
    pub fn start(core: usize, client_settings: ClientSettings, count: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let (connected, is_connected) = mpsc::channel();
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || run(core, &client_settings, count, &shared, &connected).map_err(|error| error.to_string())
        });
        Self { running: Running(shared), is_connected, thread }
    }

    /// Waits until all clients are connected.
    pub fn connected(self) -> Outcome<Self> {
        match self.is_connected.recv() {
            Ok(()) => Ok(self),
            // The thread has ended and says why.
            Err(_) => Err(self.stop().err().unwrap_or_else(|| "not connected".into())),
        }
    }

    /// Returns the number of events that have been received.
    pub fn events(&self) -> u64 {
        self.running.0.events.load(Ordering::Relaxed)
    }

    /// Ends the thread and returns its clients, which stay connected.
    pub fn stop(self) -> Outcome<Load> {
        drop(self.running);
        joined(self.thread)
    }
}

fn run(
    core: usize,
    client_settings: &ClientSettings,
    count: usize,
    shared: &Shared,
    connected: &Sender<()>,
) -> Outcome<Load> {
    move_this_thread(core)?;
    let mut load = Load::new()?;
    load.connect(client_settings, count, Duration::from_secs(60))?;
    connected.send(())?;
    while !shared.is_stopped.load(Ordering::Relaxed) {
        load.receive(Duration::from_millis(5))?;
        shared.events.store(load.tally.events, Ordering::Relaxed);
    }
    Ok(load)
}

fn move_this_thread(core: usize) -> Outcome<()> {
    let task = fs::read_link("/proc/thread-self")?;
    let id = task.file_name().and_then(|id| id.to_str()).ok_or("a thread without an id")?;
    process::move_to_core(id, false, &core.to_string())
}

fn joined(thread: JoinHandle<Result<Load, String>>) -> Outcome<Load> {
    Ok(thread.join().map_err(|_| "a thread of clients panicked")??)
}
