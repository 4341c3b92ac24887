//! The attempts that a stream makes to connect to its source.
//!
//! Most requests may be repeated. One that makes a producer work, such as a `POST`, may not.

/// The attempts that a stream makes to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attempts {
    /// Connects again after every failure, unless the first attempt is refused.
    #[default]
    UntilRefused,
    /// Connects again after every failure, whatever the upstream answers. `Streams::keep_open` is what keeps the stream
    /// without readers.
    Unlimited,
    /// Connects again until an attempt has reached the upstream. A connection that breaks leaves the stream incomplete.
    UntilSent,
    /// Connects once. A connection that breaks leaves the stream incomplete.
    Once,
}

impl Attempts {
    /// Returns true if the request may reach the upstream twice.
    pub fn may_repeat(self) -> bool {
        matches!(self, Self::UntilRefused | Self::Unlimited)
    }
}
