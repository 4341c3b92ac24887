//! The path of events from their source into the log.
//!
//! One ingest feeds one stream. It reads the source, leaves out what the log already has after a reconnect, and appends.

mod connection;
mod dedup;
mod id_minter;
mod ingest;
mod publisher;
mod source;

pub(super) use id_minter::IdMinter;
pub(super) use ingest::{Finished, Ingest};
pub use source::{Batch, Continuity, EventSource, Interrupted, MAX_RETRY_AFTER, OpenError, Opened};
