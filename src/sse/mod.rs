//! `text/event-stream` to events and back. Pure: no runtime, no sockets, no clock.

mod encoder;
mod event;
mod parser;

pub use encoder::{Encoder, Frame};
pub use event::{Event, EventId, InvalidEventId};
pub use parser::{Item, Oversized, Parser, TooLarge};
