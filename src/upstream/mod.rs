//! The origin side: how an upstream is reached and read.

mod answer;
mod connection;
mod event_source;
mod target;

pub use event_source::HttpEventSource;
pub use target::{Origin, Target};
