//! Fan-out and replay of events: one upstream, a bounded log, and readers that are positions in it.
//!
//! ```text
//!  Upstream ──▶ EventSource ──▶ Ingest ──▶ EventStream { EventLog } ◀── Subscription ◀── a client's socket
//!                                               ▲
//!                            Streams (by StreamKey, opened once)
//! ```
//!
//! Readers pull. Publishing appends once and wakes the readers. A reader takes handles to entries when its socket has
//! room. Replay and live delivery are the same code. Nothing here mentions TLS, tokens or TOML.
//!
//! The folders depend on each other in this order: `log` is pure; `feed` appends to it; `batch` has what is read at once;
//! `read` reads the log; `coded` compresses batches; `history` uses the others to catch up clients whose id is older than
//! the log.

mod batch;
mod coded;
mod event_rate;
mod event_stream;
mod feed;
mod feeder;
mod history;
mod identity;
mod incarnation;
mod key;
mod last_activity;
mod live_policy;
mod log;
mod log_memory;
mod log_store;
mod persistence;
mod progress;
mod read;
mod registry;
mod shared_feed;
mod shared_log;
mod shared_logs;
mod shared_requests;
mod spec;
mod stored_requests;
mod stream_memory;
mod unread;

pub use batch::{BatchOffsets, ReadBatch};
pub use coded::{CodedLog, CodedReader, CodingWindow};
pub use event_rate::EventRate;
pub use event_stream::EventStream;
pub use feed::{
    AnswerContent, Attempts, Batch, BrokenAnswer, Commit, Continuity, EventSource, Fenced, Finished, Interrupted,
    LiveUpstream, MAX_ANSWER_BYTES, MAX_RETRY_AFTER, OpenError, OpenOutcome, Opened, SourceAnswer, SourceHeader,
    SourceMethod, SourceRequest, StreamFeed, Upstream, UpstreamTiming,
};
pub use history::{CatchUp, CatchUpError, CatchUpLimit, ReadThrough};
pub use identity::StreamIdentity;
pub use incarnation::REAPPEARANCE_TIMEOUT;
pub use key::StreamKey;
pub use live_policy::{LivePolicies, LivePolicy};
pub use log::{
    BinaryDecoder, BinaryEncoder, Entry, EntryKind, EventLog, Fingerprints, Gap, GapNotice, IdLookup, Ids, Lagged,
    LogSnapshot, LogStorage, Offset, OnEnd, OnGap, Policy, ResumeVerdict, Retention, Seed, Start, VerdictForm,
    decode_segment, encode_segment,
};
pub use log_store::LogStore;
pub use persistence::{LogPersister, StoredStream};
pub use progress::{Condition, Incompletion, Phase, Progress};
pub(crate) use read::{Backlog, Client, ReaderInfo, WaiterHandle};
pub use read::{Ready, ReplayCheck, Subscription, Tap, Tapped};
pub use registry::{EXPIRY_INTERVAL, StreamLimit, Streams};
pub use shared_feed::SharedFeed;
pub use shared_log::{ShareRole, SharedLog, StreamShare};
pub use shared_logs::SharedLogs;
pub use shared_requests::{AgreedRequest, RequestOffer, SharedRequests, StopHandler, StopOutcome, StopRequest};
pub use spec::{StreamObserver, StreamSpec};
pub use stored_requests::{OpeningRequest, StoredRequest, StoredRequests};
