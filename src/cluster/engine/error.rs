//! The failures of an engine.

/// A failed call of an engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct EngineError {
    /// The kind, for metrics.
    pub kind: EngineErrorKind,
    /// The description for the operator. At most 200 bytes, without secrets.
    pub message: String,
}

/// The kinds of failures of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineErrorKind {
    /// There is no connection.
    Disconnected,
    /// The engine did not answer in time. What was asked may have been done.
    TimedOut,
    /// The engine has no leader, or no stream of this name now.
    Unavailable,
    /// The credentials are wrong, or a permission is missing.
    Denied,
    /// A record is larger than the engine accepts.
    TooLarge,
    /// The engine has no space left.
    Full,
    /// The engine said something that this version does not understand.
    Unexpected,
}

/// The outcome of an append that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The engine says that another record is the last.
    #[error("another record was stored before")]
    Refused,
    /// The record may or may not be stored.
    #[error(transparent)]
    Unknown(#[from] EngineError),
}

impl EngineErrorKind {
    /// Returns the value of the metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::TimedOut => "timed_out",
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::TooLarge => "too_large",
            Self::Full => "full",
            Self::Unexpected => "unexpected",
        }
    }
}

impl std::fmt::Display for EngineErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Disconnected => "no connection to the engine",
            Self::TimedOut => "the engine timed out",
            Self::Unavailable => "the engine is unavailable",
            Self::Denied => "the engine denied access",
            Self::TooLarge => "too large for the engine",
            Self::Full => "the engine is full",
            Self::Unexpected => "unexpected answer of the engine",
        })
    }
}
