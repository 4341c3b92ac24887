//! The interface between the registry and the store of event logs.

use std::sync::Arc;

use super::event_stream::EventStream;
use super::persistence::LogPersister;

/// Stores event logs beyond the life of the process.
pub trait LogStore: Send + Sync {
    /// Starts to store the log of a new stream under the stream's identity. Must not block.
    fn open(&self, stream: &Arc<EventStream>) -> Arc<dyn LogPersister>;
}
