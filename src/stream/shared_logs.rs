//! The interface between the registry and the logs that several gateways share.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::feed::Finished;
use super::shared_feed::SharedFeed;
use super::shared_log::SharedLog;

/// Shares streams with other gateways.
pub trait SharedLogs: Send + Sync {
    /// Takes over a stream that is being opened. Must not block.
    ///
    /// The future feeds the stream in place of its own ingest until the stream is complete, refused, or has to be opened
    /// anew. Dropping it gives the stream up: another gateway may then own it.
    fn open(&self, feed: SharedFeed) -> (Arc<dyn SharedLog>, BoxFuture<'static, Finished>);
}
