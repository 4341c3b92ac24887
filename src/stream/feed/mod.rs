//! The path of events from their source into the log.
//!
//! One ingest feeds one stream. It reads the source, leaves out what the log already has after a reconnect, has
//! the rest committed where the stream asks for it, and appends.

mod answer_content;
mod attempts;
mod commit;
mod connection;
mod dedup;
mod finished;
mod id_minter;
mod ingest;
mod live_upstream;
mod open_error;
mod publisher;
mod source;
mod source_answer;
mod source_request;
mod upstream;

pub use answer_content::{AnswerContent, BrokenAnswer, MAX_ANSWER_BYTES};
pub use attempts::Attempts;
pub use commit::{Commit, Fenced, StreamFeed};
pub use finished::Finished;
pub(super) use finished::LATE_REFUSAL_MEMORY;
pub(super) use id_minter::IdMinter;
pub(super) use ingest::Ingest;
pub use live_upstream::LiveUpstream;
pub use open_error::{MAX_RETRY_AFTER, OpenError};
pub(super) use publisher::Publisher;
pub use source::{Batch, Continuity, EventSource, Interrupted, OpenOutcome, Opened};
pub use source_answer::SourceAnswer;
pub use source_request::{SourceHeader, SourceMethod, SourceRequest};
pub use upstream::{Upstream, UpstreamTiming};
