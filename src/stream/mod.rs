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

mod backlog;
mod catch_up;
mod connected;
mod dedup;
mod entry;
mod event_stream;
mod fingerprint;
mod id_minter;
mod incarnation;
mod ingest;
mod key;
mod last_activity;
mod latest_batch;
mod log;
mod long_id;
mod offset;
mod persistence;
mod policy;
mod progress;
mod read_batch;
mod read_through;
mod recent_hashes;
mod registry;
mod source;
mod spec;
mod subscription;
mod tap;
mod turn_budget;
mod verdict;
mod waiters;

pub use backlog::Backlog;
pub use catch_up::{CatchUp, CatchUpError, CatchUpLimit, CaughtUp, ReplayCheck};
pub use dedup::GapNotice;
pub use entry::{Entry, EntryKind};
pub use event_stream::EventStream;
pub use fingerprint::{Fingerprints, Seed};
pub use key::StreamKey;
pub use log::{EventLog, IdLookup, Lagged, Offset};
pub use persistence::{LogPersister, LogSnapshot, LogStore, RETURN_PATIENCE, StoredStream};
pub use policy::{Ids, OnEnd, OnGap, Policy, Retention, Start};
pub use progress::{Condition, Phase, Progress};
pub use read_batch::ReadBatch;
pub use read_through::ReadThrough;
pub use registry::{EXPIRY_INTERVAL, Streams, TooManyStreams};
pub use source::{Batch, EventSource, Interrupted, LONGEST_RETRY_AFTER, OpenError, Opened};
pub use spec::{StreamObserver, StreamSpec};
pub use subscription::{Ready, Subscription};
pub use tap::{Tap, Tapped};
pub use verdict::{Gap, ResumeVerdict};
pub use waiters::{Client, ReaderInfo, WaiterHandle, WaiterSet};
