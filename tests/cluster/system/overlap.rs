//! How long two gateways read one stream from the producer.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use super::recorded_producer::RecordedProducer;

/// Watches the producer's connections. Ends when it is dropped.
pub struct Overlap {
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    since: Option<Instant>,
    longest: Duration,
    /// A stopped process cannot close its connections, so these times do not count.
    excused_until: Option<Instant>,
}

impl Overlap {
    pub fn watch(producer: Arc<RecordedProducer>) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        let task = tokio::spawn(async move {
            let mut tick = interval(Duration::from_millis(20));
            loop {
                tick.tick().await;
                shared.lock().see(producer.most_open_of_a_path() > 1);
            }
        });
        Self { state, task }
    }

    /// Does not count what happens within this time.
    pub fn excuse(&self, lasting: Duration) {
        self.state.lock().excused_until = Some(Instant::now() + lasting);
    }

    /// The longest time for which a stream had two connections.
    pub fn longest(&self) -> Duration {
        self.state.lock().longest
    }
}

impl State {
    fn see(&mut self, is_double: bool) {
        let is_excused = self.excused_until.is_some_and(|until| Instant::now() < until);
        if !is_double || is_excused {
            self.since = None;
            return;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        self.longest = self.longest.max(since.elapsed());
    }
}

impl Drop for Overlap {
    fn drop(&mut self) {
        self.task.abort();
    }
}
