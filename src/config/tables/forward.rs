//! `[routes.forward]`: requests that are sent on as they come.
//!
//! Everything that is about streams is refused beside it, since it would do nothing.

use std::sync::Arc;
use std::time::Duration;

use super::routes::RouteTable;
use crate::config::engine::{KeyEntry, duration, keys, size, variants};
use crate::forward::{ForwardSettings, HostField};
use crate::route::Access;
use crate::route::pattern::PathPattern;
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

/// Reads `[routes.forward]`, if the route has it.
pub(super) fn forward(
    table: &RouteTable<'_>,
    upstream: Option<&Arc<UpstreamSettings>>,
    access: Option<&Access>,
    path: Option<&PathPattern>,
) -> Option<Arc<ForwardSettings>> {
    if !table.forward.is_given() {
        if path.is_some_and(PathPattern::has_rest) {
            table.path.report("{*name} is only for routes with [routes.forward]: a stream has one path");
        }
        return None;
    }
    let of_streams: [&KeyEntry<'_>; 7] = [
        &table.upstream_path,
        &table.open,
        &table.on_end,
        &table.soft_refusal,
        &table.share,
        &table.replay,
        &table.delivery,
    ];
    for key in of_streams.into_iter().filter(|key| key.is_given()) {
        key.report("has no effect beside [routes.forward]: it is for streams");
    }
    if matches!(access, Some(Access::Token(rules)) if rules.tickets) {
        table.auth.report("tickets are for streams: a route with [routes.forward] has none");
    }
    if upstream.is_some_and(|upstream| upstream.http2.is_some()) {
        table.upstream.report("requests are forwarded over HTTP/1.1: set http2 = false in the upstream");
    }
    let forward = table.forward.table();
    Some(Arc::new(ForwardSettings {
        upstream: upstream?.clone(),
        host: forward.host.get(),
        body_bytes: forward.body_bytes.get() as u64,
        response_timeout: forward.response_timeout.get(),
        idle_timeout: forward.idle_timeout.get(),
        encoded_slash: forward.encoded_slash.get(),
    }))
}
