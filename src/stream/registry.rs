//! All open streams: opened once, kept for the linger, forgotten.
//!
//! The only map and the only lock over it. A reader is attached under the lock, and a stream is forgotten under the lock
//! and only without readers; so nobody is ever attached to a stream that is being forgotten.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::debug;

use super::event_stream::EventStream;
use super::feed::{Finished, Ingest, OpenError};
use super::key::StreamKey;
use super::log_memory::{LogMemory, OpenStreams};
use super::progress::Phase;
use super::read::Subscription;
use super::spec::StreamSpec;
use crate::runtime::log_bytes::LogBytes;
use crate::runtime::tasks::Tasks;

/// All open streams by key. Cheap to clone.
#[derive(Clone)]
pub struct Streams {
    /// Touched once for each subscription, never across an await.
    open: Arc<OpenStreams>,
    /// Keys of streams that are kept without readers.
    kept_open: watch::Sender<HashSet<StreamKey>>,
    max: Arc<AtomicUsize>,
    memory: LogMemory,
    tasks: Tasks,
}

/// As many streams are open as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many streams are open as may be")]
pub struct TooManyStreams;

impl Streams {
    /// No streams, and room for `max`.
    pub fn new(max: usize, tasks: Tasks) -> Self {
        let kept_open = watch::channel(HashSet::new()).0;
        let open: Arc<OpenStreams> = Arc::default();
        let memory = LogMemory::new(open.clone());
        Self { open, kept_open, max: Arc::new(max.into()), memory, tasks }
    }

    /// What all logs take of memory, and may take.
    pub fn log_bytes(&self) -> &Arc<LogBytes> {
        self.memory.log_bytes()
    }

    /// Room for so many from now on; what is open stays.
    pub fn set_max_streams(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// A reader of the stream with this key, which is opened if it is not open. `spec` is asked for only then.
    ///
    /// # Errors
    /// [`TooManyStreams`] when it would be one stream too many.
    pub fn subscribe(
        &self,
        key: &StreamKey,
        spec: impl FnOnce() -> StreamSpec,
    ) -> Result<Subscription, TooManyStreams> {
        let mut open = self.open.lock();
        if open.len() >= self.max.load(Ordering::Relaxed) && !open.contains_key(key) {
            // Whoever wants to read goes before what nobody reads: else made-up paths, asked for and left, could fill
            // all places for as long as the linger. What is complete goes first, then what is oldest.
            let kept_open = self.kept_open.borrow();
            let unread = open.values().filter(|stream| stream.subscribers() == 0 && !kept_open.contains(stream.key()));
            let is_live = |stream: &EventStream| stream.progress().phase != Phase::Complete;
            let first = unread
                .min_by_key(|stream| (is_live(stream), stream.condition().since))
                .ok_or(TooManyStreams)?
                .key()
                .clone();
            if let Some(dismissed) = open.remove(&first) {
                dismissed.evict();
            }
        }
        match open.entry(key.clone()) {
            // Attached under the lock: `deregister` cannot run between finding the stream and holding it.
            Entry::Occupied(known) => {
                take_over(known.get());
                Ok(Subscription::new(known.get()))
            }
            Entry::Vacant(free) => {
                let spec = spec();
                let stream = match &spec.store {
                    None => EventStream::new(key.clone(), spec.policy),
                    Some((store, origin)) => {
                        let stream = EventStream::with_restorable_log(key.clone(), spec.policy);
                        stream.attach_persister(store.open(&stream, *origin));
                        stream
                    }
                };
                stream.attach_log_bytes(self.memory.log_bytes().clone());
                let stream = free.insert(stream).clone();
                let subscription = Subscription::new(&stream);
                let (here, doing, task) =
                    (Handle::current(), key.clone(), Box::pin(self.clone().run_stream(stream, spec)));
                self.tasks.spawn_on(&here, "ingest", doing, task);
                Ok(subscription)
            }
        }
    }

    /// The open streams, for whoever looks at them from outside.
    pub fn list(&self) -> Vec<Arc<EventStream>> {
        self.open.lock().values().cloned().collect()
    }

    /// Returns how many streams are open.
    pub fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Whether the stream is open.
    pub fn contains(&self, key: &StreamKey) -> bool {
        self.open.lock().contains_key(key)
    }

    /// Keeps the streams with these keys when nobody reads them, and no others. They are still opened by `subscribe`.
    pub fn keep_open(&self, keys: HashSet<StreamKey>) {
        self.kept_open.send_replace(keys);
    }

    /// Has the open streams with such keys kept beyond the process, in place of others that were opened after them: to be
    /// called when a reload has made them the ones that readers find.
    pub fn persist_current(&self, is_found: impl Fn(&StreamKey) -> bool) {
        // Under the lock none of them is put away.
        self.open.lock().values().filter(|stream| is_found(stream.key())).for_each(take_over);
    }

    async fn run_stream(self, stream: Arc<EventStream>, spec: StreamSpec) {
        let _registered = DeregisterOnDrop { streams: &self, stream: &stream };
        let finished = tokio::select! {
            finished = Ingest::new(stream.clone(), spec, self.memory.clone()).run() => finished,
            () = self.deregister_when_unused(&stream) => {
                debug!(stream = %stream.key(), "stream closed: nobody reads it");
                return;
            }
            () = stream.evicted() => {
                debug!(stream = %stream.key(), "stream closed: others need its place");
                return;
            }
        };
        let memory = match finished {
            Finished::Complete { ago } => stream.policy().retention.age.saturating_sub(ago),
            Finished::Refused(memory) => memory,
        };
        let mut draining = self.tasks.draining();
        tokio::select! {
            () = sleep(memory) => {}
            // Nothing finds it any more, so nothing is to be kept for it.
            () = stream.evicted() => {}
            _ = draining.started() => {}
        }
    }

    /// Completes when the stream has had no reader for its linger and has been forgotten.
    async fn deregister_when_unused(&self, stream: &Arc<EventStream>) {
        let mut draining = self.tasks.draining();
        let mut kept_open = self.kept_open.subscribe();
        loop {
            tokio::select! {
                // An error means that the gateway is gone.
                _ = kept_open.wait_for(|keys| !keys.contains(stream.key())) => {}
                _ = draining.started() => {}
            }
            stream.unsubscribed().await;
            let arrivals = stream.subscriptions_begun();
            tokio::select! {
                () = sleep(stream.policy().linger) => {}
                // Nobody will come any more.
                _ = draining.started() => {}
            }
            let is_kept = !draining.has_started() && self.kept_open.borrow().contains(stream.key());
            let mut open = self.open.lock();
            // Under the lock nobody arrives. Who came and left within the linger began it anew.
            if stream.subscribers() == 0 && stream.subscriptions_begun() == arrivals && !is_kept {
                deregister(&mut open, stream);
                return;
            }
        }
    }

    /// Evicts what has become too old in quiet streams. To be called now and then.
    pub fn expire(&self) {
        let now = Instant::now();
        for stream in self.list() {
            stream.expire(now);
        }
    }
}

fn take_over(stream: &Arc<EventStream>) {
    if let Some(journal) = stream.persister() {
        journal.take_over();
    }
}

/// Takes a stream out, unless another has its key by now.
fn deregister(open: &mut HashMap<StreamKey, Arc<EventStream>>, stream: &Arc<EventStream>) {
    if open.get(stream.key()).is_some_and(|found| Arc::ptr_eq(found, stream)) {
        open.remove(stream.key());
    }
}

/// A stream in the registry for as long as it is fed. Dropped however its task ends: a stream that nobody feeds any more
/// must not be found, and its readers must not wait for it.
struct DeregisterOnDrop<'s> {
    streams: &'s Streams,
    stream: &'s Arc<EventStream>,
}

impl Drop for DeregisterOnDrop<'_> {
    fn drop(&mut self) {
        deregister(&mut self.streams.open.lock(), self.stream);
        if let Some(journal) = self.stream.persister() {
            journal.close();
        }
        if std::thread::panicking() {
            self.stream
                .set_phase(Phase::Refused(Arc::new(OpenError::InvalidResponse("the gateway failed".to_owned()))));
        }
    }
}

/// How often [`Streams::expire`] is to be called.
pub const EXPIRY_INTERVAL: Duration = Duration::from_secs(5);
