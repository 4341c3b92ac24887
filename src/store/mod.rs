//! Event logs on disk: one database file with many streams, written by one thread.
//!
//! ```text
//!  EventStream ── changed ──▶ Inbox ──▶ StoreWriter (own thread) ──▶ Db (redb, one transaction per commit)
//!      ▲                                    │
//!      └─────────── reads the log ──────────┘
//! ```
//!
//! The writer reads each log like a client does, and takes new entries when it is ready. Only a notice that a stream
//! has changed is queued, so a slow, full or missing disk costs durability and nothing else. The stored part of a
//! stream is always one piece of its log without gaps, up to the last commit. This module does not know where events
//! come from or who reads them.

mod codec;
mod db;
mod eviction;
mod folder;
mod inbox;
mod index;
mod open_store;
mod persister;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tracing::warn;

pub use self::folder::examine;
use self::inbox::{FindRequest, Inbox, OpenRequest, StreamHandle};
use self::writer::StoreWriter;
use crate::runtime::panics::Panics;
use crate::runtime::workers;
use crate::stream::{EventStream, LogPersister, LogStore, Offset, StoredRequest, StoredRequests, StoredStream};
use crate::telemetry::StoreMetrics;

/// Minimum interval between two commits. A killed process loses the events of this interval, and those that a slow disk
/// has not taken yet.
pub const COMMIT_INTERVAL: Duration = Duration::from_millis(50);

/// Maximum time for which an opening stream waits for its stored state. After this, it starts afresh. A request that looks
/// for the stream of an equal one waits as long.
pub const RESTORE_PATIENCE: Duration = Duration::from_secs(5);

/// The validated `[store]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder. Default `/var/lib/rillgate`.
    pub path: PathBuf,
    /// Maximum bytes of events in all streams together. Default 1 GiB.
    pub bytes: u64,
}

/// The store of a gateway. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inbox: Arc<Inbox>,
    metrics: Arc<StoreMetrics>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Store {
    /// Starts the writer's thread. Does not wait for the file to be opened; [`Self::problem`] reports the result.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start(settings: Settings, metrics: Arc<StoreMetrics>, panics: Panics) -> std::io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let writer = StoreWriter::new(settings, inbox.clone(), metrics.clone(), panics);
        let thread = workers::thread("store", move || writer.run())?;
        Ok(Self { inbox, metrics, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Returns the current problem in words for the operator, or `None` if the store is usable.
    pub fn problem(&self) -> Option<String> {
        self.inbox.problem()
    }

    /// Announces that the gateway drains. All streams will be closed and written, however much that is.
    pub fn drain(&self) {
        self.inbox.drain();
    }

    /// Writes all changes and stops the thread. Blocks; must not be called on a runtime.
    pub fn stop(&self) {
        self.inbox.stop();
        if let Some(thread) = self.thread.lock().take() {
            drop(thread.join());
        }
    }
}

impl LogStore for Store {
    fn open(&self, stream: &Arc<EventStream>) -> Option<Arc<dyn LogPersister>> {
        let (key, metrics) = (stream.key().identity, self.metrics.clone());
        let (route, end) = (stream.key().route.clone(), stream.log().end());
        let handle = StreamHandle::new(key, route, Arc::downgrade(stream), end);
        let handle = Arc::new(handle.with_request(stream.request().copied()));
        let (reply, restored) = tokio::sync::oneshot::channel();
        if !self.inbox.open(OpenRequest { handle: handle.clone(), reply }) {
            metrics.error("behind");
            return None;
        }
        let (inbox, restored) = (self.inbox.clone(), Mutex::new(Some(restored)));
        Some(Arc::new(PersisterHandle { inbox, metrics, handle, restored }))
    }
}

impl StoredRequests for Store {
    fn find(&self, key: [u8; 32]) -> BoxFuture<'_, Option<StoredRequest>> {
        let (reply, found) = tokio::sync::oneshot::channel();
        let is_asked = self.inbox.ask(FindRequest { key, reply });
        Box::pin(async move {
            if !is_asked {
                self.metrics.error("behind");
                return None;
            }
            let warn = || warn!("store slow: a request does not find the stored answer to an earlier one");
            answer_in_time(found, &self.metrics, warn).await
        })
    }
}

/// Waits for an answer of the writer. A late one is counted and told with `warn`.
async fn answer_in_time<T>(
    answer: tokio::sync::oneshot::Receiver<Option<T>>,
    metrics: &StoreMetrics,
    warn: impl FnOnce(),
) -> Option<T> {
    let Ok(answer) = tokio::time::timeout(RESTORE_PATIENCE, answer).await else {
        warn();
        metrics.error("late");
        return None;
    };
    answer.ok()?
}

/// A stream's connection to the writer.
struct PersisterHandle {
    inbox: Arc<Inbox>,
    metrics: Arc<StoreMetrics>,
    handle: Arc<StreamHandle>,
    restored: Mutex<Option<tokio::sync::oneshot::Receiver<Option<StoredStream>>>>,
}

impl fmt::Debug for PersisterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PersisterHandle({:?})", self.handle.key)
    }
}

impl LogPersister for PersisterHandle {
    fn load(&self) -> BoxFuture<'_, Option<StoredStream>> {
        let restored = self.restored.lock().take();
        Box::pin(async move {
            let stream = self.handle.key;
            let warn = || warn!(?stream, "store slow: the stream starts without its stored events");
            answer_in_time(restored?, &self.metrics, warn).await
        })
    }

    fn notify_changed(&self) {
        self.inbox.notify_changed(&self.handle);
    }

    fn close(&self) {
        if let Some(stream) = self.handle.stream.upgrade() {
            self.inbox.close(&self.handle, stream);
        }
    }

    fn persisted_until(&self) -> Option<Offset> {
        self.handle.is_open().then(|| self.handle.persisted_until())
    }
}
