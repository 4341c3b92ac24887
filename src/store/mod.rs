//! Event logs on disk: one file, one thread that writes it, many streams.
//!
//! ```text
//!  EventStream ── changed ──▶ Inbox ──▶ Writer (its own thread) ──▶ Ledger (redb, one transaction for all that is new)
//!      ▲                                   │
//!      └────────── reads the log ──────────┘
//! ```
//!
//! The writer is a reader of each log, like a client: it takes what is new when it is ready to. So nothing is queued but
//! the wish to be looked at, and a disk that is slow, full or gone costs durability and nothing else. What is stored of a
//! stream is always one piece of its log without a hole, up to the last commit. Nothing here knows where events come
//! from or who reads them.

mod clock;
mod codec;
mod db;
mod folder;
mod inbox;
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

use self::codec::StoreKey;
pub use self::folder::examine;
use self::inbox::{Inbox, OpenRequest, StreamHandle};
use self::writer::StoreWriter;
use crate::runtime::panics::Panics;
use crate::runtime::workers;
use crate::stream::{EventStream, LogPersister, LogStore, Offset, StoredStream};
use crate::telemetry::StoreMetrics;

/// How often what is new is written, at most. What is newer than this when the process is killed is not stored, nor what
/// a slow disk has not taken yet.
pub const COMMIT_INTERVAL: Duration = Duration::from_millis(50);

/// How long the opening of a stream waits for what is stored of it. After this it begins anew.
pub const RESTORE_PATIENCE: Duration = Duration::from_secs(5);

/// Where event logs are kept: the `[store]` table, believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder. Default `/var/lib/rillgate`.
    pub path: PathBuf,
    /// Most bytes of events, all streams together. Default 1 GiB.
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
    /// Starts the thread. Whether the file can be used shows later, and is told by [`Self::trouble`].
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub fn start(settings: Settings, metrics: Arc<StoreMetrics>, panics: Panics) -> std::io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let writer = StoreWriter::new(settings, inbox.clone(), metrics.clone(), panics);
        let thread = workers::thread("store", move || writer.run())?;
        Ok(Self { inbox, metrics, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// What is wrong with it, in words for the operator. `None`: nothing.
    pub fn problem(&self) -> Option<String> {
        self.inbox.problem()
    }

    /// The gateway begins to leave: all streams are about to be put away, however much that is.
    pub fn drain(&self) {
        self.inbox.drain();
    }

    /// Writes what is new and ends the thread; waits for it, so not to be called on a runtime.
    pub fn stop(&self) {
        self.inbox.stop();
        if let Some(thread) = self.thread.lock().take() {
            drop(thread.join());
        }
    }
}

impl LogStore for Store {
    fn open(&self, stream: &Arc<EventStream>, origin: [u8; 32]) -> Arc<dyn LogPersister> {
        let (key, metrics) = (StoreKey::of(stream.key(), origin), self.metrics.clone());
        let handle = Arc::new(StreamHandle::new(key, Arc::downgrade(stream), stream.log().end()));
        let (reply, past) = tokio::sync::oneshot::channel();
        if !self.inbox.open(OpenRequest { handle: handle.clone(), reply }) {
            metrics.error("behind");
        }
        Arc::new(PersisterHandle { inbox: self.inbox.clone(), metrics, handle, past: Mutex::new(Some(past)) })
    }
}

/// One stream's way to the writer.
struct PersisterHandle {
    inbox: Arc<Inbox>,
    metrics: Arc<StoreMetrics>,
    handle: Arc<StreamHandle>,
    past: Mutex<Option<tokio::sync::oneshot::Receiver<Option<StoredStream>>>>,
}

impl fmt::Debug for PersisterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:?})", self.handle.key)
    }
}

impl LogPersister for PersisterHandle {
    fn load(&self) -> BoxFuture<'_, Option<StoredStream>> {
        let past = self.past.lock().take();
        Box::pin(async move {
            let Ok(reply) = tokio::time::timeout(RESTORE_PATIENCE, past?).await else {
                warn!(stream = ?self.handle.key, "store slow: a stream begins anew without what is stored of it");
                self.metrics.error("late");
                return None;
            };
            reply.ok()?
        })
    }

    fn notify_changed(&self) {
        self.inbox.changed(&self.handle);
    }

    fn take_over(&self) {
        if !self.inbox.claim(&self.handle) {
            self.metrics.error("behind");
        }
    }

    fn close(&self) {
        if let Some(stream) = self.handle.stream.upgrade() {
            self.inbox.close(&self.handle, stream);
        }
    }

    fn persisted_until(&self) -> Option<Offset> {
        self.handle.is_owner().then(|| self.handle.until())
    }
}
