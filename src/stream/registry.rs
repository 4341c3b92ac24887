//! All open streams: opened once, kept for the linger, forgotten.
//!
//! The only map and the only lock over it. A reader is attached under the lock, and a stream is forgotten under the lock
//! and only without readers; so nobody is ever attached to a stream that is being forgotten.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;
use tracing::debug;

use super::event_stream::EventStream;
use super::ingest::{Finished, Ingest};
use super::key::StreamKey;
use super::spec::StreamSpec;
use super::subscription::Subscription;
use crate::tasks::Tasks;

/// All open streams by key. Cheap to clone.
#[derive(Clone)]
pub struct Streams {
    /// Touched once for each subscription, never across an await.
    open: Arc<Mutex<HashMap<StreamKey, Arc<EventStream>>>>,
    most: usize,
    tasks: Tasks,
}

/// As many streams are open as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many streams are open as may be")]
pub struct Full;

impl Streams {
    /// No streams, and room for `most`.
    pub fn new(most: usize, tasks: Tasks) -> Self {
        Self { open: Arc::default(), most, tasks }
    }

    /// A reader of the stream with this key, which is opened if it is not open. `spec` is asked for only then.
    ///
    /// # Errors
    /// [`Full`] when it would be one stream too many.
    pub fn subscribe(&self, key: &StreamKey, spec: impl FnOnce() -> StreamSpec) -> Result<Subscription, Full> {
        let mut open = self.open.lock();
        let room = self.most.saturating_sub(open.len());
        match open.entry(key.clone()) {
            // Attached under the lock: `forget` cannot run between finding the stream and holding it.
            Entry::Occupied(known) => Ok(known.get().subscribe()),
            Entry::Vacant(_) if room == 0 => Err(Full),
            Entry::Vacant(free) => {
                let spec = spec();
                let stream = free.insert(EventStream::new(key.clone(), spec.policy)).clone();
                let subscription = stream.subscribe();
                self.tasks.spawn("ingest", self.clone().keep(stream, spec));
                Ok(subscription)
            }
        }
    }

    /// The open streams, for whoever looks at them from outside.
    pub fn list(&self) -> Vec<Arc<EventStream>> {
        self.open.lock().values().cloned().collect()
    }

    /// Whether the stream is open.
    pub fn contains(&self, key: &StreamKey) -> bool {
        self.open.lock().contains_key(key)
    }

    async fn keep(self, stream: Arc<EventStream>, spec: StreamSpec) {
        let is_always_open = spec.is_always_open;
        let finished = tokio::select! {
            finished = Ingest::new(stream.clone(), spec).run() => finished,
            () = self.forgotten_when_unused(&stream, is_always_open) => {
                debug!(stream = %stream.key(), "stream closed: nobody reads it");
                return;
            }
            _ = async { self.tasks.draining().since().await }, if is_always_open => Finished::Complete,
        };
        let memory = match finished {
            Finished::Complete => stream.policy().retention.age,
            Finished::Refused(memory) => memory,
        };
        let mut draining = self.tasks.draining();
        tokio::select! {
            () = sleep(memory) => {}
            _ = draining.since() => {}
        }
        self.open.lock().remove(stream.key());
    }

    /// Completes when the stream has had no reader for its linger and has been forgotten.
    async fn forgotten_when_unused(&self, stream: &Arc<EventStream>, is_always_open: bool) {
        if is_always_open {
            stream.retired().await;
        }
        let mut draining = self.tasks.draining();
        loop {
            stream.unsubscribed().await;
            let arrivals = stream.arrivals();
            tokio::select! {
                () = sleep(stream.policy().linger) => {}
                // Nobody will come any more.
                _ = draining.since() => {}
            }
            let mut open = self.open.lock();
            // Under the lock nobody arrives. Who came and left within the linger began it anew.
            if stream.subscribers() == 0 && stream.arrivals() == arrivals {
                open.remove(stream.key());
                return;
            }
        }
    }

    /// From now on only these streams are kept without readers.
    pub fn keep_only(&self, always_open: &HashSet<StreamKey>) {
        for stream in self.list().iter().filter(|stream| !always_open.contains(stream.key())) {
            stream.retire();
        }
    }

    /// Evicts what has become too old in quiet streams. To be called now and then.
    pub fn expire(&self) {
        let now = std::time::Instant::now();
        for stream in self.list() {
            stream.expire(now);
        }
    }
}

/// How often [`Streams::expire`] is to be called.
pub const EXPIRY_INTERVAL: Duration = Duration::from_secs(5);
