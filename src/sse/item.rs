//! The items that a parser produces, as values without bytes around them.

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
    /// A block that exceeds the size limit, or whose id does. It is discarded; its id is kept if it was readable.
    Skipped(Option<EventId>),
    /// A comment with the prefix that [`Parser::with_comment_prefix`](super::Parser::with_comment_prefix) names, without that prefix.
    Comment(Box<str>),
}
