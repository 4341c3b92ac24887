//! `text/event-stream` to events and back. Pure: no runtime, no sockets, no clock.

mod event;

pub use event::{Event, EventId, InvalidEventId};
