//! A client that moves from one gateway to another: TLS, a route, and an address that stays the same.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::auth::fixture::{AuthFixture, in_seconds, token};
use crate::support::adapter::{Adapter, RunningClient};
use crate::support::origin::Emission;
use crate::support::reserved_addr;
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

/// An origin, and an address at which gateways run one after another.
pub struct FailoverFixture {
    pub auth: AuthFixture,
    pub address: SocketAddr,
    pub config: String,
}

impl FailoverFixture {
    /// Starts an origin and makes a configuration with one route, `/prices`, that has these lines.
    pub async fn new(route: &str) -> Self {
        let mut auth = AuthFixture::new().await;
        let address = reserved_addr::reserve();
        auth.identity = auth.authority.server_for("place", &[&address.ip().to_string(), "127.0.0.1"]);
        let config = auth.config_with_main(
            "0s",
            &format!(
                r#"
                [server]
                drain = {{ notice = "0s", spread = "0s", deadline = "10s" }}
                [[routes]]
                name = "prices"
                path = "/prices"
                upstream = "origin"
                {route}
                [routes.replay]
                verdict = "gap"
                [routes.delivery]
                retry = "100ms"
                "#
            ),
        );
        // The first address is the listener's, the second the admin port's.
        let listener = format!("reuse_port = true\naddress = \"{address}\"");
        let config = config.replacen("address = \"127.0.0.1:0\"", &listener, 1);
        Self { auth, address, config }
    }

    /// Puts the route's logs on disk.
    pub fn with_store(self) -> Self {
        let store = format!("[store]\npath = \"{}\"", self.auth.file("store"));
        let config = self.config.replace("verdict = \"gap\"", "verdict = \"gap\"\nstore = \"disk\"");
        Self { config: format!("{config}\n{store}"), ..self }
    }

    pub async fn start(&self) -> Rillgate {
        Rillgate::start(&self.config).await
    }

    pub fn follow(&self, client: &Adapter, query: &str, bearer: Option<&Path>) -> RunningClient {
        let url = format!("https://{}/prices{query}", self.address);
        client.follow(&self.auth.authority, &url, bearer, &["price", "trade", "rillgate.resume"])
    }

    /// Emits an event whose data is its id, once a response is open to receive it.
    pub async fn emit(&self, id: &str) {
        eventually(DEADLINE, || async { self.auth.origin.connections().open >= 1 }).await;
        self.auth.origin.emit(Emission::event(id, "", id));
    }

    /// Writes a token with this lifetime to the file that the client reads.
    pub fn write_token(&self, seconds: f64, scope: &str) -> PathBuf {
        let (path, next) = (self.auth.file("token").into(), self.auth.file("token.next"));
        std::fs::write(&next, token(&json!({ "exp": in_seconds(seconds), "scope": scope }))).unwrap();
        std::fs::rename(next, &path).unwrap();
        path
    }
}
