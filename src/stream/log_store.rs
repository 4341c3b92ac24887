//! The place where logs are kept beyond the process, seen from the registry.

use std::sync::Arc;

use super::event_stream::EventStream;
use super::persistence::LogPersister;

/// Keeps event logs beyond the process.
pub trait LogStore: Send + Sync {
    /// Begins to keep the log of a stream that has just been made. `origin` is a digest of where its events come
    /// from: what is kept is given back only to a stream with an equal key (but for the key's own fingerprint) and origin. Must not block.
    fn open(&self, stream: &Arc<EventStream>, origin: [u8; 32]) -> Arc<dyn LogPersister>;
}
