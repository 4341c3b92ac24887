//! The reasons for which a forwarded request has no response of the upstream.

/// The reason for which there is no response to pass on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ForwardError {
    /// No origin could be connected to. The upstream's fault.
    #[error("{0}")]
    Unreachable(String),
    /// No response head arrived in time. The upstream's fault.
    #[error("no response in time (forward.response_timeout)")]
    TimedOut,
    /// The connection ended before a response head. The upstream's fault.
    #[error("{0}")]
    Closed(String),
    /// The bytes on the connection are not an HTTP response. The upstream's fault.
    #[error("{0}")]
    InvalidResponse(String),
    /// The request's body has more than so many bytes. The client's fault.
    #[error("the request body is larger than {max} bytes (forward.body_bytes)")]
    BodyTooLarge {
        /// The limit in bytes.
        max: u64,
    },
    /// The request's body did not go on. The client's fault.
    #[error("the request body did not go on (forward.idle_timeout)")]
    BodyStalled,
    /// The request's body is malformed, or the client left. The client's fault.
    #[error("the request body is incomplete")]
    BodyBroken,
}

impl ForwardError {
    /// Whether the upstream is at fault, so that the operator should know.
    pub fn is_upstream_fault(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut | Self::Closed(_) | Self::InvalidResponse(_) => true,
            Self::BodyTooLarge { .. } | Self::BodyStalled | Self::BodyBroken => false,
        }
    }
}
