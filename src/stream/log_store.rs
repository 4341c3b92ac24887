//! The interface between the registry and the store of event logs.

use std::sync::Arc;

use super::event_stream::EventStream;
use super::persistence::LogPersister;

/// Stores event logs beyond the life of the process.
pub trait LogStore: Send + Sync {
    /// Starts to store the log of a new stream. `origin` is a digest of the upstream's settings. A stored log is
    /// restored only for an equal origin and an equal key (its `origin` field excepted). Must not block.
    fn open(&self, stream: &Arc<EventStream>, origin: [u8; 32]) -> Arc<dyn LogPersister>;
}
