//! The ends of an ingest.

use std::time::Duration;

/// The reason why the ingest of a stream ended for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The upstream has ended the stream.
    Complete {
        /// The time since it ended, if that was in an earlier process.
        ago: Duration,
    },
    /// The stream ended before its end. It is kept like a complete one.
    Incomplete,
    /// The upstream refused the first attempt, or something else feeds the stream. Holds the time for which this is
    /// remembered.
    Refused(Duration),
}

/// The least time for which a refusal is remembered. Readers that come back sooner do not open the stream again.
pub(super) const REFUSAL_MEMORY: Duration = Duration::from_secs(1);

/// The same if a client already had a response: the client has to come back for the status.
pub(in crate::stream) const LATE_REFUSAL_MEMORY: Duration = Duration::from_secs(30);
