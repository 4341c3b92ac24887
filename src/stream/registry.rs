//! The registry of open streams. A stream is opened once, kept for its linger, and removed.
//!
//! This is the only map of streams, with a single lock. A reader is attached under the lock. A stream is removed under
//! the lock, and only if it has no readers. So no reader is ever attached to a stream that is being removed.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::event_stream::EventStream;
use super::feed::{Finished, OpenError};
use super::feeder::Feeder;
use super::key::StreamKey;
use super::log::{LogStorage, OnEnd};
use super::log_memory::{LogMemory, OpenStreams};
use super::log_store::LogStore;
use super::progress::{Incompletion, Phase};
use super::read::Subscription;
use super::shared_feed::SharedFeed;
use super::shared_logs::SharedLogs;
use super::spec::StreamSpec;
use super::stream_memory::STREAM_WEIGHT;
use super::unread::UnreadStreams;
use crate::limits::SharedLimits;
use crate::runtime::file_budget::{FileBudget, FilePermit};
use crate::runtime::memory::{MemoryCharge, MemoryKind, MemoryLedger};
use crate::runtime::shares::{OnRefusal, Shares};
use crate::runtime::tasks::Tasks;
use crate::runtime::turn_owner::TurnOwner;
use crate::runtime::turn_queue::next_turn;

/// The open streams by key. Cheap to clone.
#[derive(Clone)]
pub struct Streams {
    /// Locked once per subscription, never across an await.
    open: Arc<OpenStreams>,
    /// The keys of streams that stay open without readers.
    kept_open: watch::Sender<HashSet<StreamKey>>,
    limits: SharedLimits,
    unread: Arc<UnreadStreams>,
    /// The streams that only one address has read, by address.
    sole_addresses: Shares<IpAddr>,
    /// The store of the logs that are stored.
    store: Option<Arc<dyn LogStore>>,
    /// What shares logs with other gateways.
    shared_logs: Option<Arc<dyn SharedLogs>>,
    memory: LogMemory,
    /// The descriptors of upstream connections.
    files: FileBudget,
    tasks: Tasks,
}

/// The limit that a new stream would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamLimit {
    /// `limits.streams`, or only reserved file descriptors are left.
    #[error("the maximum number of open streams is reached")]
    All,
    /// `limits.streams_per_ip`, or the part of one address while few file descriptors are free.
    #[error("the address has opened the maximum number of streams that only it reads")]
    Address,
    /// Most of `limits.memory`. The rest is for subscriptions to open streams.
    #[error("memory is short")]
    Memory,
}

impl Streams {
    /// Creates an empty registry under the limits in force. A reload of the limits applies to new streams; open ones stay.
    /// Without a store, no log is stored.
    pub fn new(limits: SharedLimits, store: Option<Arc<dyn LogStore>>, tasks: Tasks) -> Self {
        let kept_open = watch::channel(HashSet::new()).0;
        let open: Arc<OpenStreams> = Arc::default();
        let ledger = Arc::new(MemoryLedger::new(limits.load().memory));
        let (unread, sole_addresses) = (Arc::<UnreadStreams>::default(), Shares::new(Arc::new(|| ())));
        let memory = LogMemory::new(open.clone(), unread.clone(), ledger);
        let files = FileBudget::new(limits.clone(), usize::MAX, Arc::new(|| ()));
        Self { open, kept_open, limits, unread, sole_addresses, store, shared_logs: None, memory, files, tasks }
    }

    /// Calls `on_refusal` for each stream that an address is refused because it has its share.
    #[must_use]
    pub fn with_refusals(self, on_refusal: OnRefusal) -> Self {
        Self { sole_addresses: Shares::new(on_refusal), ..self }
    }

    /// Shares the logs of the streams whose policy says so. By default, they are in memory only.
    #[must_use]
    pub fn with_shared_logs(self, shared_logs: Arc<dyn SharedLogs>) -> Self {
        Self { shared_logs: Some(shared_logs), ..self }
    }

    /// Returns the ledger of memory. Its bound is `limits.memory` at the creation of the registry; a reload sets it.
    pub fn ledger(&self) -> &Arc<MemoryLedger> {
        self.memory.ledger()
    }

    /// Evicts entries if memory is short, and stops counting those that readers have dropped. Appending does the first
    /// as well. Must be called about every second, for what changes without it.
    pub fn reduce_memory(&self) {
        self.list().iter().for_each(|stream| stream.sweep_pinned());
        self.memory.reduce();
    }

    /// Takes the descriptors of upstream connections from this budget. By default, they are not bounded.
    #[must_use]
    pub fn with_files(self, files: FileBudget) -> Self {
        Self { files, ..self }
    }

    /// Subscribes to the stream with this key and opens it if necessary. Calls `spec` only to open it. The stream counts
    /// for no address.
    ///
    /// # Errors
    ///
    /// The limit that is exceeded, if the stream is not open.
    pub fn subscribe(&self, key: &StreamKey, spec: impl FnOnce() -> StreamSpec) -> Result<Subscription, StreamLimit> {
        self.subscribe_from(None, key, spec)
    }

    /// Like [`Self::subscribe`]. A stream that this opens counts for `address` until another address reads it or it is
    /// closed.
    ///
    /// # Errors
    ///
    /// The limit that is exceeded, if the stream is not open.
    pub fn subscribe_from(
        &self,
        address: Option<IpAddr>,
        key: &StreamKey,
        spec: impl FnOnce() -> StreamSpec,
    ) -> Result<Subscription, StreamLimit> {
        let mut open = self.open.lock();
        let limits = self.limits.load();
        let is_new = !open.contains_key(key);
        let sole_address = match address.filter(|_| is_new) {
            Some(address) => {
                let max = limits.streams_per_ip.min(self.files.max_upstreams_per_address());
                Some(self.sole_addresses.acquire(address, max).ok_or(StreamLimit::Address)?)
            }
            None => None,
        };
        let exceeded = match is_new {
            true if open.len() >= limits.streams => Some(StreamLimit::All),
            true if self.memory.is_crowded(open.len()) => Some(StreamLimit::Memory),
            _ => None,
        };
        if let Some(limit) = exceeded {
            // A new reader takes the place of a stream that nobody reads. Otherwise requests for made-up paths could
            // occupy all places for as long as the linger.
            let kept_open = self.kept_open.borrow();
            let may_go = |key: &StreamKey| {
                !kept_open.contains(key) && open.get(key).is_none_or(|stream| stream.subscribers() == 0)
            };
            let first = self.unread.first(may_go).ok_or(limit)?;
            let Some(first) = open.get(&first).cloned() else { return Err(limit) };
            deregister(&mut open, &first);
            first.evict();
        }
        match open.entry(key.clone()) {
            // Attach under the lock: `deregister` cannot run between finding the stream and holding it.
            Entry::Occupied(known) => {
                known.get().readers().admit_address(address);
                Ok(Subscription::new(known.get()))
            }
            Entry::Vacant(free) => {
                let file = self.files.acquire_stream().ok_or(StreamLimit::All)?;
                let spec = spec();
                let (ids, policy, storage) = (spec.ids, spec.policy.clone(), spec.policy.current().storage);
                let stored = self.store.as_ref().filter(|_| storage == LogStorage::Disk);
                let shared = self.shared_logs.as_ref().filter(|_| storage == LogStorage::Cluster);
                let stream = match stored.is_some() || shared.is_some() {
                    false => EventStream::new(key.clone(), ids, policy),
                    true => EventStream::with_restorable_log(key.clone(), ids, policy),
                };
                stream.attach_request(spec.request);
                if let Some(persister) = stored.and_then(|store| store.open(&stream)) {
                    stream.attach_persister(persister);
                }
                stream.attach_ledger(self.ledger().clone());
                stream.readers().attach(self.unread.clone(), key.clone());
                if let Some(permit) = sole_address {
                    stream.readers().set_sole_address(permit);
                }
                let stream = free.insert(stream).clone();
                let subscription = Subscription::new(&stream);
                let charge = MemoryCharge::new(self.ledger(), MemoryKind::Streams, STREAM_WEIGHT);
                let ends = if spec.attempts.may_repeat() { UnusedEnd::Forgotten } else { UnusedEnd::Incomplete };
                let feeder = match shared {
                    None => Feeder::Ingest(spec, charge),
                    Some(shared) => {
                        let feed = SharedFeed::new(stream.clone(), spec, self.memory.clone(), charge);
                        let (log, feeding) = shared.open(feed);
                        stream.attach_shared(log);
                        Feeder::Shared(feeding)
                    }
                };
                let task = Box::pin(self.clone().run_stream(stream, feeder, ends, file));
                self.tasks.spawn_on(&Handle::current(), "ingest", key.clone(), task);
                Ok(subscription)
            }
        }
    }

    /// Returns the open streams.
    pub fn list(&self) -> Vec<Arc<EventStream>> {
        self.open.lock().values().cloned().collect()
    }

    /// Returns the number of open streams.
    pub fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Returns true if memory has no room for another stream.
    pub fn is_crowded(&self) -> bool {
        self.memory.is_crowded(self.count())
    }

    /// Returns the open stream with this key.
    pub fn find(&self, key: &StreamKey) -> Option<Arc<EventStream>> {
        self.open.lock().get(key).cloned()
    }

    /// Returns true if the stream is open.
    pub fn contains(&self, key: &StreamKey) -> bool {
        self.open.lock().contains_key(key)
    }

    /// Keeps exactly the streams with these keys open when they have no readers. They are still opened by `subscribe`.
    pub fn keep_open(&self, keys: HashSet<StreamKey>) {
        self.kept_open.send_replace(keys);
    }

    /// Applies policies that a reload has replaced to the logs of the open streams: what they retain, and where.
    pub fn apply_policies(&self) {
        if let Some(store) = &self.store {
            // Under the lock none of them can be closed.
            for stream in self.open.lock().values().filter(|stream| stream.persister().is_none()) {
                if stream.policy().current().storage == LogStorage::Disk
                    && let Some(persister) = store.open(stream)
                {
                    // The stream keeps the log that it has, so it does not wait for a stored one.
                    drop(persister.load());
                    stream.attach_persister(persister.clone());
                    // What is appended before is stored because of this notice, and later entries have their own.
                    persister.notify_changed();
                }
            }
        }
        self.expire();
    }

    async fn run_stream(self, stream: Arc<EventStream>, feeder: Feeder, ends: UnusedEnd, _file: FilePermit) {
        let _registered = DeregisterOnDrop { streams: &self, stream: &stream };
        let finished = tokio::select! {
            finished = feeder.run(&stream, &self.memory) => finished,
            () = stream.stopped() => {
                debug!(stream = %stream.key().excerpt(), "stream stopped by a client");
                stream.set_phase(Phase::Incomplete(Incompletion::Stopped));
                Finished::Incomplete
            }
            () = self.deregister_when_unused(&stream, ends) => {
                debug!(stream = %stream.key().excerpt(), "stream closed: no subscribers");
                return;
            }
            () = stream.evicted() => {
                debug!(stream = %stream.key().excerpt(), "stream closed: evicted in favor of another stream");
                return;
            }
        };
        let mut draining = self.tasks.draining();
        tokio::select! {
            () = is_forgotten(&stream, finished) => {}
            // No reader can find it any more, so its log is of no use.
            () = stream.evicted() => {}
            _ = draining.started() => {}
        }
    }

    /// Completes when the stream had no reader for its linger and was removed.
    async fn deregister_when_unused(&self, stream: &Arc<EventStream>, ends: UnusedEnd) {
        let mut draining = self.tasks.draining();
        let mut kept_open = self.kept_open.subscribe();
        loop {
            tokio::select! {
                // An error means that the gateway is gone.
                _ = kept_open.wait_for(|keys| !keys.contains(stream.key())) => {}
                _ = draining.started() => {}
            }
            stream.unsubscribed().await;
            let begun = stream.subscriptions_begun();
            tokio::select! {
                () = stream.policy().elapsed(Instant::now(), |policy| policy.linger) => {}
                // No new readers will come during a drain.
                _ = draining.started() => {}
            }
            let is_needed_elsewhere = match stream.shared() {
                Some(shared) if draining.has_started() => shared.is_bound_to_source(),
                Some(shared) => shared.is_read_elsewhere().await,
                None => false,
            };
            if is_needed_elsewhere {
                sleep(SHARED_INTERVAL).await;
                continue;
            }
            // Thousands of streams that were opened together are closed together.
            if !draining.has_started() {
                next_turn(&TurnOwner::Route(stream.key().route.clone())).await;
            }
            let is_kept = !draining.has_started() && self.kept_open.borrow().contains(stream.key());
            let mut open = self.open.lock();
            // Under the lock no reader can arrive. A reader that came and left within the linger has restarted it.
            if stream.subscribers() == 0 && stream.subscriptions_begun() == begun && !is_kept {
                let feeds_it = stream.shared().is_none_or(|shared| shared.is_bound_to_source());
                if ends == UnusedEnd::Forgotten || !feeds_it || draining.has_started() || !stream.has_been_live() {
                    deregister(&mut open, stream);
                    return;
                }
                drop(open);
                stream.request_stop();
                sleep(SHARED_INTERVAL).await;
            }
        }
    }

    /// Evicts entries that are too old from quiet streams. Must be called every [`EXPIRY_INTERVAL`].
    pub fn expire(&self) {
        let now = std::time::Instant::now();
        for stream in self.list() {
            stream.expire(now);
        }
    }
}

/// The end of a stream that had no reader for its linger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnusedEnd {
    /// It is removed, and opened again for the next reader.
    Forgotten,
    /// It cannot be opened again, so it ends, and what it has is kept.
    Incomplete,
}

/// Completes when a stream that nothing feeds any more is of no use to new readers.
async fn is_forgotten(stream: &EventStream, finished: Finished) {
    let policy = stream.policy();
    let ago = match &finished {
        Finished::Complete { ago } => *ago,
        Finished::Incomplete => Duration::ZERO,
        Finished::Refused(memory) => return sleep(*memory).await,
    };
    let is_end_of_response = finished != Finished::Incomplete && policy.current().on_end == OnEnd::Complete;
    tokio::select! {
        () = policy.elapsed(Instant::now(), |policy| policy.retention.age.saturating_sub(ago)) => {}
        // It may have been taken for the end of the stream by mistake.
        () = policy.becomes(|policy| policy.on_end == OnEnd::Reconnect), if is_end_of_response => {
            stream.set_phase(Phase::Retrying(None));
        }
    }
}

/// Removes a stream from the map, unless another stream has taken its key, and stores its final state.
fn deregister(open: &mut HashMap<StreamKey, Arc<EventStream>>, stream: &Arc<EventStream>) {
    if open.get(stream.key()).is_some_and(|found| Arc::ptr_eq(found, stream)) {
        open.remove(stream.key());
    }
    stream.readers().forget();
    // Under the lock, so before a new stream with this key reads the stored state.
    if let Some(persister) = stream.persister() {
        persister.close();
    }
}

/// Removes a stream when its task ends, however it ends: readers must not find or wait for what nothing feeds.
struct DeregisterOnDrop<'s> {
    streams: &'s Streams,
    stream: &'s Arc<EventStream>,
}

impl Drop for DeregisterOnDrop<'_> {
    fn drop(&mut self) {
        deregister(&mut self.streams.open.lock(), self.stream);
        if std::thread::panicking() {
            self.stream.set_phase(Phase::Refused(Arc::new(OpenError::Invalid("the gateway failed".to_owned()))));
        }
    }
}

/// The time between two looks at a stream that nobody reads here: whether other gateways do, and whether it has ended.
const SHARED_INTERVAL: Duration = Duration::from_secs(1);

/// The interval for calls of [`Streams::expire`].
pub const EXPIRY_INTERVAL: Duration = Duration::from_secs(5);
