//! Gateways of one cluster, in front of one origin.

use serde_json::Value;

use crate::support::client::Client;
use crate::support::nats::NatsServer;
use crate::support::origin::Origin;
use crate::support::raw::{Raw, status};
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

/// The key that the gateways share, as a variable of the environment.
pub const KEY: (&str, &str) = ("CLUSTER_KEY", "0123456789abcdef0123456789abcdef");

/// Returns the configuration of a gateway of the cluster, with one public route `/{name}`. `more` follows `[cluster]`,
/// and `route` the route.
pub fn configuration(urls: &[String], origin: &Origin, more: &str, route: &str) -> String {
    let urls: Vec<_> = urls.iter().map(|url| format!("{url:?}")).collect();
    format!(
        r#"
        [admin]
        address = "127.0.0.1:0"
        [[listeners]]
        address = "127.0.0.1:0"
        [cluster]
        urls = [{}]
        key = {{ env = "CLUSTER_KEY" }}
        lease = "1s"
        replicas = {}
        {more}
        [upstreams.origin]
        urls = ["{}"]
        [[routes]]
        name = "all"
        path = "/{{name}}"
        upstream = "origin"
        auth = "public"
        replay.store = "cluster"
        {route}
        "#,
        urls.join(", "),
        if urls.len() >= 3 { 3 } else { 1 },
        origin.url(),
    )
}

/// Starts a gateway with this configuration, and waits until it is ready.
pub async fn start(config: &str) -> Rillgate {
    let gateway = start_unready(config).await;
    eventually(DEADLINE, || async { answer(&gateway, "/readyz").await.0 == 200 }).await;
    gateway
}

/// Starts a gateway with this configuration.
pub async fn start_unready(config: &str) -> Rillgate {
    Rillgate::start_with(config, &[KEY]).await
}

/// Starts this many gateways of one cluster.
pub async fn several(count: usize, engine: &NatsServer, origin: &Origin, route: &str) -> Vec<Rillgate> {
    let config = configuration(&[engine.url()], origin, "", route);
    let mut gateways = Vec::new();
    for _ in 0..count {
        gateways.push(start(&config).await);
    }
    gateways
}

/// Asks the admin port. Returns the status and the body.
pub async fn answer(gateway: &Rillgate, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let text = Raw::exchange(&Client::http1(gateway.admin()), request.as_bytes()).await;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status(&text), body)
}

/// Asks the admin port for JSON.
pub async fn json(gateway: &Rillgate, path: &str) -> Value {
    let (status, body) = answer(gateway, path).await;
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {status}: {error}: {body}"))
}

/// Returns what `/streams` says of the only stream, or nothing.
pub async fn only_stream(gateway: &Rillgate) -> Value {
    json(gateway, "/streams").await["streams"][0].clone()
}

/// Waits until exactly one of the gateways owns the only stream and the others follow. Returns the owner's index.
pub async fn owner(gateways: &[Rillgate]) -> usize {
    let mut found = None;
    let found_in = &mut found;
    let mut roles = Vec::new();
    let end = tokio::time::Instant::now() + DEADLINE;
    while found_in.is_none() {
        assert!(tokio::time::Instant::now() < end, "no owner: {roles:?}");
        roles.clear();
        for gateway in gateways {
            roles.push(only_stream(gateway).await["role"].as_str().unwrap_or_default().to_owned());
        }
        let owners: Vec<_> = (0..roles.len()).filter(|index| roles[*index] == "own").collect();
        if owners.len() == 1 && roles.iter().filter(|role| *role == "follow").count() == roles.len() - 1 {
            *found_in = Some(owners[0]);
        }
    }
    found.unwrap()
}
