//! The feed of a stream: its own ingest, or a log that other gateways share.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::event_stream::EventStream;
use super::feed::{Finished, Ingest};
use super::log_memory::LogMemory;
use super::spec::StreamSpec;
use crate::runtime::memory::MemoryCharge;

/// Feeds one stream.
pub(super) enum Feeder {
    /// Its own ingest.
    Ingest(StreamSpec, MemoryCharge),
    /// A log that other gateways share.
    Shared(BoxFuture<'static, Finished>),
}

impl Feeder {
    /// Feeds the stream until it has ended.
    pub(super) async fn run(self, stream: &Arc<EventStream>, memory: &LogMemory) -> Finished {
        match self {
            Self::Ingest(spec, charge) => Ingest::new(stream.clone(), spec, memory.clone(), charge).run().await,
            Self::Shared(feeding) => feeding.await,
        }
    }
}
