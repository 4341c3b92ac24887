//! Fan-out and replay: one upstream, a bounded log, and readers that are positions in it.
//!
//! ```text
//!  EventSource ──▶ Ingest ──▶ Intake ──▶ EventStream { EventLog } ◀── Subscription ◀── a client's socket
//!                                             ▲
//!                          Streams (by StreamKey, opened once)
//! ```
//!
//! Pull, not push: publishing appends once and wakes; a reader takes handles from the log when its socket has room.
//! Replay and live delivery are the same code. Nothing here mentions HTTP, TLS, tokens or TOML.

mod waiters;
mod backlog;
mod catch_up;
mod connected;
mod entry;
mod event_stream;
mod fingerprint;
mod recent_hashes;
mod last_activity;
mod ingest;
mod dedup;
mod persistence;
mod key;
mod incarnation;
mod log;
mod log_bytes;
mod id_minter;
mod latest_batch;
mod offset;
mod policy;
mod progress;
mod read_through;
mod registry;
mod source;
mod spec;
mod subscription;
mod read_batch;
mod tap;
mod long_id;
mod turn_budget;
mod verdict;

pub use waiters::{Client, ReaderInfo, WaiterHandle, WaiterSet};
pub use backlog::Backlog;
pub use catch_up::{CatchUp, CatchUpError, CatchUpLimit, CaughtUp, ReplayCheck};
pub use entry::{Entry, EntryKind};
pub use event_stream::EventStream;
pub use fingerprint::{Fingerprints, Seed};
pub use dedup::GapNotice;
pub use persistence::{LogPersister, LogSnapshot, LogStore, RETURN_PATIENCE, StoredStream};
pub use key::StreamKey;
pub use log::{EventLog, IdLookup, Lagged, Offset};
pub use log_bytes::LogBytes;
pub use policy::{Ids, OnEnd, OnGap, Policy, Retention, Start};
pub use progress::{Condition, Phase, Progress};
pub use read_through::ReadThrough;
pub use registry::{EXPIRY_INTERVAL, Streams, TooManyStreams};
pub use source::{Batch, EventSource, Interrupted, LONGEST_RETRY_AFTER, OpenError, Opened};
pub use spec::{StreamObserver, StreamSpec};
pub use subscription::{Ready, Subscription};
pub use read_batch::ReadBatch;
pub use tap::{Tap, Tapped};
pub use verdict::{Gap, ResumeVerdict};
