//! Streams that are opened by `POST`, such as the answers of language models.
//!
//! ```text
//!  POST ─▶ body ─▶ PostKey ─▶ PostStreams ─┬─▶ a stream that is open: join it
//!                                          └─▶ a new stream: its PostSource sends the request once
//!  GET and DELETE PATH?rillgate-stream=OPAQUE ─▶ the same stream
//! ```
//!
//! A body is in memory until it has been sent, and in no log, metric or file. Of a request only digests are kept.

mod admitted_post;
mod answer;
pub(super) mod body_limits;
mod open;
mod post_key;
mod post_source;
pub(super) mod post_streams;
mod request_body;
mod stops;
mod stream_url;

use super::routed_request::RoutedRequest;
use crate::route::PostSettings;

pub(crate) use body_limits::PostBodyLimits;
pub(super) use open::respond;
pub(crate) use post_streams::PostStreams;
pub(crate) use stops::PostStops;
pub(super) use stream_url::{is_stream_url, read, stop};

/// A request to a route with `[routes.post]`.
#[derive(Clone, Copy)]
pub(super) struct PostRequest<'r> {
    pub(super) routed: RoutedRequest<'r>,
    pub(super) settings: &'r PostSettings,
}

/// The methods of a route with `[routes.post]`.
pub(super) const METHODS: &str = "GET, HEAD, POST, DELETE";

/// The query parameter that names a stream. Routes cannot share it.
pub(crate) const STREAM_PARAMETER: &str = "rillgate-stream";
