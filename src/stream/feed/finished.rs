//! The ends of an ingest.

use std::time::Duration;

/// The reason why the ingest of a stream ended for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// The upstream has ended the stream.
    Complete {
        /// The time since it ended, if that was in an earlier process.
        ago: Duration,
    },
    /// The upstream refused the first attempt. Holds the time for which this is remembered.
    Refused(Duration),
    /// Something else feeds the stream. Its readers end, and come back with their ids.
    Fenced,
}

/// The time for which a refusal of the first attempt is remembered.
pub(super) const REFUSAL_MEMORY: Duration = Duration::from_secs(1);

/// The same if a client already had a response: the client has to come back for the status.
pub(super) const LATE_REFUSAL_MEMORY: Duration = Duration::from_secs(30);
