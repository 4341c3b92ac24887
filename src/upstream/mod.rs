//! The origin side: how an upstream is reached and read.

mod answer;
mod chained;
mod coding;
mod connection;
mod connector;
mod content_type;
mod current;
mod event_source;
mod excerpt;
mod resource;
mod resume;
mod target;

pub use current::{Current, Targets};
pub use event_source::HttpEventSource;
pub use resource::{Resource, query_names};
pub use resume::Resume;
pub use target::{Origin, UpstreamSettings};
