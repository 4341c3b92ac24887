//! Upstreams: connecting to an origin over HTTP/1.1 or HTTP/2 and reading its event stream.
//!
//! | file | contents |
//! |---|---|
//! | `settings` | one `[upstreams.NAME]` table, and its origins |
//! | `http_upstream` | the settings as an upstream of streams: identity, timing, sources |
//! | `event_source` | the event source: attempts, redirects, and the items of a response |
//! | `service_token` | the token that the gateway itself shows to an upstream |
//! | `request_target`, `resume` | path and query of a request, and the last event id in it |
//! | `connector`, `connection` | TCP and TLS to an origin, and one HTTP exchange |
//! | `http2_pool`, `http2_connection`, `http2_exchange` | HTTP/2 connections that streams share, and one stream |
//! | `connect_error`, `error_text` | the reasons for which there is no response, and texts of errors |
//! | `probe` | an attempt to connect, for an operator |
//! | `response_head` | classification of a response, with `content_type` and `content_coding` |
//! | `response_reader` | the items of a response's body |
//! | `chained` | an upstream that is a rillgate |

mod answer_reader;
mod chained;
mod connect_error;
mod connection;
mod connector;
mod content_coding;
mod content_type;
mod error_text;
mod event_source;
mod http2_connection;
mod http2_exchange;
mod http2_pool;
mod http_upstream;
mod limited_reads;
mod probe;
mod request_target;
mod response_head;
mod response_reader;
mod resume;
mod service_token;
mod settings;

pub(crate) use connector::{Io, connect};
pub(crate) use error_text::error_chain;
pub use http2_pool::Http2Pool;
pub use request_target::query_names;
pub use resume::Resume;
pub use service_token::ServiceToken;
pub use settings::{Origin, UpstreamSettings};
