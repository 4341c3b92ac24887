//! The honest readers of a stream, looked at in steps of a fifth of a second, and one that reads past the server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Outcome;
use crate::load::{ClientSettings, Load};

/// The length of a step; two events are due in each.
pub const STEP: Duration = Duration::from_millis(200);

/// The readers.
pub struct Readers(Load);

/// A reader that is connected to the producer itself. What it waits for events is the delay of the producer, of the machine
/// and of the harness; no server under attack has a part in it.
pub struct DirectReader {
    latency: Arc<Mutex<Latency>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The delays that readers notice in one phase.
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, 600_000_000, 3).expect("constant bounds"))
    }
}

impl Latency {
    /// Returns the 99th percentile in milliseconds.
    pub fn p99(&self) -> f64 {
        self.0.value_at_quantile(0.99) as f64 / 1000.0
    }
}

impl Readers {
    /// Connects them.
    pub fn connect(ask: &ClientSettings, count: usize) -> Outcome<Self> {
        let mut load = Load::new()?;
        load.connect(ask, count, Duration::from_secs(20))?;
        Ok(Self(load))
    }

    /// Reads for one step; returns the 99th percentile in milliseconds, or nothing if no event came.
    pub fn step(&mut self, phase: &mut Latency) -> Outcome<Option<f64>> {
        self.0.tally.restart();
        self.0.receive(STEP)?;
        phase.0.add(&self.0.tally.latency)?;
        Ok((self.0.tally.events > 0).then(|| self.0.tally.milliseconds(0.99)))
    }

    /// Reads for this long.
    pub fn observe(&mut self, duration: Duration) -> Outcome<Latency> {
        let (mut phase, until) = (Latency::default(), Instant::now() + duration);
        while Instant::now() < until {
            self.step(&mut phase)?;
        }
        Ok(phase)
    }

    /// Says what was wrong with the events or the connections, if anything was.
    pub fn faults(&self) -> Option<String> {
        self.0.verdict().err().map(|error| error.to_string())
    }
}

impl DirectReader {
    /// Connects it, in a thread of its own.
    pub fn start(ask: ClientSettings) -> Self {
        let (latency, ends) = (Arc::new(Mutex::new(Latency::default())), Arc::new(AtomicBool::new(false)));
        let (kept, end) = (latency.clone(), ends.clone());
        let thread = std::thread::spawn(move || {
            // Without it the row has no figure of its own delay, and no allowance for that.
            let Ok(mut reader) = Readers::connect(&ask, 1) else { return };
            while !end.load(Ordering::Relaxed) {
                let mut step = Latency::default();
                if reader.step(&mut step).is_err() {
                    return;
                }
                let _ = kept.lock().expect("a thread that does not panic").0.add(&step.0);
            }
        });
        Self { latency, ends, thread: Some(thread) }
    }

    /// Returns what it has noticed since the last call.
    pub fn take(&self) -> Latency {
        std::mem::take(&mut *self.latency.lock().expect("a thread that does not panic"))
    }
}

impl Drop for DirectReader {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
