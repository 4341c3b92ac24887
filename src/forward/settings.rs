//! The settings of forwarding: one validated `[routes.forward]` table.

use std::sync::Arc;
use std::time::Duration;

use crate::upstream::UpstreamSettings;

/// One `[routes.forward]` table, with the route's upstream.
#[derive(Clone, Debug)]
pub struct ForwardSettings {
    /// The upstream that requests are sent to.
    pub upstream: Arc<UpstreamSettings>,
    /// The `Host` of upstream requests. Default: the client's.
    pub host: HostField,
    /// The most bytes of a request body. Default: 64 MiB.
    pub body_bytes: u64,
    /// The longest wait for a response head, from the last byte of the request that was sent. Default: 60 s.
    pub response_timeout: Duration,
    /// The longest time without a byte of a body that has begun. Default: 5 min.
    pub idle_timeout: Duration,
    /// Whether `%2F` in a path is passed on as it is. Default `false`: it is refused.
    pub encoded_slash: bool,
}

/// The `Host` of upstream requests, unless the upstream's headers set one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostField {
    /// The client's.
    Keep,
    /// Host and port of the upstream's URL.
    Upstream,
}
