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

mod audience;
mod backlog;
mod catch_up;
mod connected;
mod entry;
mod event_stream;
mod fingerprint;
mod forgotten;
mod heard;
mod ingest;
mod intake;
mod journal;
mod key;
mod life;
mod log;
mod log_bytes;
mod minter;
mod news;
mod place;
mod policy;
mod progress;
mod read_through;
mod registry;
mod source;
mod spec;
mod subscription;
mod taken;
mod tap;
mod told_id;
mod turn;
mod verdict;

pub use audience::{Client, ReaderInfo, WaiterHandle, WaiterSet};
pub use backlog::Backlog;
pub use catch_up::{CatchUp, CatchUpError, CatchUpLimit, CaughtUp, ReplayCheck};
pub use entry::{Entry, EntryKind};
pub use event_stream::EventStream;
pub use fingerprint::{Fingerprints, Seed};
pub use intake::GapNotice;
pub use journal::{LogPersister, LogSnapshot, LogStore, RETURN_PATIENCE, StoredStream};
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
pub use taken::ReadBatch;
pub use tap::{Tap, Tapped};
pub use verdict::{Gap, ResumeVerdict};
