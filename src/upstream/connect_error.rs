//! The reasons for which an origin gives no response.

/// The reasons for which there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The connection could not be established.
    #[error("{0}")]
    Unreachable(String),
    /// The connection was closed before a response arrived.
    #[error("{0}")]
    Closed(String),
    /// The bytes on the connection are not an HTTP response.
    #[error("{0}")]
    InvalidResponse(String),
}
