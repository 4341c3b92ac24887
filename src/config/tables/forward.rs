//! `[routes.forward]`: requests that are sent on as they come.
//!
//! Everything that is about streams is refused beside it; `routes` does that.

use std::sync::Arc;
use std::time::Duration;

use crate::config::engine::{duration, keys, size, variants};
use crate::forward::{ForwardSettings, HostField};
use crate::upstream::UpstreamSettings;

keys! {
    pub(super) struct ForwardTable<'a> {
        /// Host of upstream requests. "keep": the client's. "upstream": that of the upstream's URL. A host in the
        /// upstream's headers replaces both.
        host: HostField = "keep",
        /// Maximum size of a request body.
        body_bytes: usize = "64MiB" in size("1KiB", "1024GiB"),
        /// Time limit for the response headers, from the last byte of the request that the upstream took.
        response_timeout: Duration = "60s" in duration("10ms", "1h"),
        /// Time without a byte after which a request body, a response body or an upgraded connection is given up.
        idle_timeout: Duration = "5m" in duration("10ms", "1d"),
        /// true: an encoded slash (%2F) in a path is sent on as it is. false: it is refused.
        encoded_slash: bool = "false",
    }
}

variants!(HostField { "keep" => Keep, "upstream" => Upstream });

/// Reads `[routes.forward]`.
pub(super) fn forward(table: &ForwardTable<'_>, upstream: Arc<UpstreamSettings>) -> ForwardSettings {
    ForwardSettings {
        upstream,
        host: table.host.get(),
        body_bytes: table.body_bytes.get() as u64,
        response_timeout: table.response_timeout.get(),
        idle_timeout: table.idle_timeout.get(),
        encoded_slash: table.encoded_slash.get(),
    }
}
