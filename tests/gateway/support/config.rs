//! Configurations of the gateway that many tests start from.
//!
//! Always true: upstreams are tried again quickly, so that no test waits for a backoff. What a test is about stands in
//! the test, as TOML.

use std::net::{SocketAddr, TcpListener};

/// A free address for a gateway that is started more than once. Its port is none that the system gives out by itself:
/// such a one could be taken, or a client connect to itself, while the gateway is away.
pub fn fixed_address() -> SocketAddr {
    std::iter::repeat_with(|| SocketAddr::from(([127, 0, 0, 1], fastrand::u16(10_000..30_000))))
        .take(1_000)
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port among a thousand")
}

/// One plain listener and one public route `/{name}` to one upstream. `route` goes on behind the route's own keys.
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
