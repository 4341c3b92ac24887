//! Upstreams: connecting to an origin over HTTP/1.1 and reading its event stream.
//!
//! | file | contents |
//! |---|---|
//! | `settings` | one `[upstreams.NAME]` table, and its origins |
//! | `http_upstream` | the settings as an upstream of streams: identity, timing, sources |
//! | `event_source` | the event source: attempts, redirects, and the items of a response |
//! | `service_token` | the token that the gateway itself shows to an upstream |
//! | `request_target`, `resume` | path and query of a request, and the last event id in it |
//! | `connector`, `connection` | TCP and TLS to an origin, and one HTTP exchange |
//! | `response_head` | classification of a response, with `content_type` and `content_coding` |
//! | `response_reader` | the items of a response's body |
//! | `chained` | an upstream that is a rillgate |

mod chained;
mod connection;
mod connector;
mod content_coding;
mod content_type;
mod event_source;
mod http_upstream;
mod limited_reads;
mod request_target;
mod response_head;
mod response_reader;
mod resume;
mod service_token;
mod settings;

pub use request_target::query_names;
pub use resume::Resume;
pub use service_token::ServiceToken;
pub use settings::{Origin, UpstreamSettings};
