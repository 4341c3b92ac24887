//! The interface between a stream and the log that it shares with other gateways.
//!
//! A shared log decides what enters the stream's own log, and when. Here is only what readers and the registry ask it.
//! This file does not know how gateways agree.

use std::fmt;

use futures_util::future::BoxFuture;

/// One stream's part in a log that several gateways share.
pub trait SharedLog: fmt::Debug + Send + Sync {
    /// Returns true once the stream's log has what was shared before. Until then no reader can be judged by it.
    fn has_joined(&self) -> bool;

    /// Completes when the stream's log has everything that was shared when this was called. A client may hold an id that
    /// this gateway has not applied yet. While that cannot be known it does not complete, so callers bound the wait.
    fn look(&self) -> BoxFuture<'static, ()>;

    /// Returns true if clients of other gateways read the stream through this one. Ends within a few seconds. False if
    /// that cannot be known.
    fn is_read_elsewhere(&self) -> BoxFuture<'static, bool>;

    /// Asks to end the stream before its end. Without effect where this gateway does not read the upstream.
    fn request_stop(&self);

    /// Returns true if this gateway must go on reading the upstream while it drains: no other one can.
    fn is_bound_to_source(&self) -> bool;

    /// Notifies that a reader has come.
    fn notify_reader(&self);

    /// Notifies that the phase of the stream has changed.
    fn notify_phase(&self);

    /// Returns the part that this gateway has in the stream, for the operator.
    fn share(&self) -> StreamShare;
}

/// The part that a gateway has in a shared stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamShare {
    /// What the gateway does.
    pub role: ShareRole,
    /// The node id of the owner, as far as this gateway knows. `None`: nobody owns it.
    pub owner: Option<String>,
    /// The number of owners so far. 0: none.
    pub term: u64,
}

/// The role of a gateway in a shared stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShareRole {
    /// It finds out what is shared.
    Join,
    /// It applies what the owner writes.
    Follow,
    /// It reads the upstream and writes.
    Own,
}

impl ShareRole {
    /// Returns the word for the role.
    pub fn label(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Follow => "follow",
            Self::Own => "own",
        }
    }
}
