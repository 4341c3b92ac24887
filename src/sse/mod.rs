//! `text/event-stream` to events and back.
//!
//! ```text
//! upstream bytes --- Parser::push ---> Item::Event ---> Frame::from ---> body (HTTP/2), chunk (HTTP/1.1)
//! ```
//!
//! What a client dispatches for the bytes that come out is what it would have dispatched for the bytes that went in.
//! Pure: no runtime, no sockets, no clock.

mod block;
mod encoder;
mod event;
mod item;
mod parser;

pub use encoder::{Encoder, Frame};
pub use event::{Event, EventId, InvalidEventId};
pub use item::Item;
pub use parser::Parser;
