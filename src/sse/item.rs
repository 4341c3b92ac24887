//! The values that a parser produces.

use std::time::Duration;

use super::{Event, EventId};

/// One item of an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A block with data.
    Event(Event),
    /// A block without data that set the last event id.
    Id(EventId),
    /// A new reconnection time, in force from its line on. At most `u32::MAX` milliseconds.
    Retry(Duration),
    /// A block that exceeded the size limit, or whose id did. The block is discarded; its id is kept if it was within
    /// the limit.
    Skipped(Option<EventId>),
    /// A comment with the prefix of [`Parser::with_comment_prefix`](super::Parser::with_comment_prefix), without that
    /// prefix.
    Comment(Box<str>),
}
