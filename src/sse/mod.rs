//! Parsing and encoding of `text/event-stream`.
//!
//! ```text
//! upstream bytes --- Parser::push ---> Item::Event ---> Frame::from ---> body (HTTP/2), chunk (HTTP/1.1)
//! ```
//!
//! A client dispatches the same events for the encoded bytes as for the bytes that were parsed. Pure: no runtime, no
//! sockets, no clock.

mod block;
mod encoder;
mod event;
mod item;
mod parser;

pub use encoder::{Encoder, Frame};
pub use event::{Event, EventId, InvalidEventId};
pub use item::Item;
pub use parser::Parser;
