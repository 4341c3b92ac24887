//! Upstreams: connecting to an origin over HTTP/1.1 and reading its event stream.
//!
//! | file | contents |
//! |---|---|
//! | `settings` | one `[upstreams.NAME]` table, and its origins |
//! | `live_upstream` | settings that a reload replaces under open streams |
//! | `event_source` | the event source: attempts, redirects, and the items of a response |
//! | `resource`, `resume` | path and query of a request, and the last event id in it |
//! | `connector`, `connection` | TCP and TLS to an origin, and one HTTP exchange |
//! | `response_head` | classification of a response, with `content_type` and `content_coding` |
//! | `chained` | an upstream that is a rillgate |

mod chained;
mod connection;
mod connector;
mod content_coding;
mod content_type;
mod event_source;
mod live_upstream;
mod resource;
mod response_head;
mod resume;
mod settings;

pub use connector::Connector;
pub use event_source::HttpEventSource;
pub use live_upstream::{LiveUpstream, LiveUpstreams};
pub use resource::{Resource, query_names};
pub use resume::Resume;
pub use settings::{Origin, UpstreamSettings};
