//! The event log of one stream, and the values that it is made of.
//!
//! Pure: time comes in as a value, nothing waits, and nothing is sent.

mod binary;
mod entry;
mod event_log;
mod fingerprint;
mod id_index;
mod offset;
mod pinned_frames;
mod policy;
mod recent_hashes;
mod segment;
mod snapshot;
mod verdict;

pub use binary::{BinaryDecoder, BinaryEncoder};
pub use entry::{Entry, EntryKind};
pub use event_log::EventLog;
pub use fingerprint::{Fingerprints, Seed};
pub use offset::{IdLookup, Lagged, Offset};
pub use policy::{Ids, LogStorage, OnEnd, OnGap, Policy, Retention, Start, VerdictForm};
pub use segment::{decode_segment, encode_segment};
pub use snapshot::LogSnapshot;
pub use verdict::{Gap, GapNotice, ResumeVerdict};
