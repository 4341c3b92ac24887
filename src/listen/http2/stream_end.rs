//! The way in which an HTTP/2 stream ends.

use h2::Reason;
use http::StatusCode;

use crate::listen::client_faults::is_client_fault;

/// The way in which a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::listen) enum StreamEnd {
    /// The stream is complete, or the connection is gone.
    Done,
    /// The response, which is complete, refused the request because of what the client sent.
    Refused,
    /// The client reset the stream.
    Reset,
}

impl StreamEnd {
    /// Classifies a stream whose response is complete.
    pub(super) fn of_complete(status: StatusCode) -> Self {
        if is_client_fault(status) { Self::Refused } else { Self::Done }
    }

    /// Classifies a stream that ended without us: by a reset of the client, or with the connection.
    pub(super) fn of(reset: &Result<Reason, h2::Error>) -> Self {
        if reset.is_ok() { Self::Reset } else { Self::Done }
    }
}
