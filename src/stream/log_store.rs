//! The interface between the registry and the store of event logs.

use std::sync::Arc;

use super::event_stream::EventStream;
use super::persistence::LogPersister;

/// Stores event logs beyond the life of the process.
pub trait LogStore: Send + Sync {
    /// Starts to store the log of a stream under the stream's identity. Returns `None` if the store cannot take it now;
    /// a reload then offers it again. Must not block.
    fn open(&self, stream: &Arc<EventStream>) -> Option<Arc<dyn LogPersister>>;
}
