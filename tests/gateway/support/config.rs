//! Configurations of the gateway from which many tests start.
//!
//! Always true: upstreams are retried quickly, so that no test waits for a backoff. A test states its own settings, as
//! TOML.

/// Returns a configuration with a plain listener and a public route `/{name}`; `route` follows the route's own keys.
pub fn plain(url: &str, route: &str) -> String {
    format!(
        r#"
        [[listeners]]
        address = "127.0.0.1:0"
        [limits]
        connections_per_ip = 10000
        header_timeout = "60s"
        [upstreams.origin]
        urls = ["{url}"]
        backoff = {{ initial = "10ms", max = "100ms" }}
        [[routes]]
        name = "all"
        path = "/{{name}}"
        upstream = "origin"
        auth = "public"
        {route}
        "#
    )
}
