//! A client that moves from one gateway to another: TLS, a route, and an address that stays the same.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::auth::world::{World, in_seconds, token};
use crate::support::adapter::{Adapter, Following};
use crate::support::origin::Emission;
use crate::support::reserved_addr;
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

/// An origin, and an address at which one gateway follows another.
pub struct FailoverFixture {
    pub world: World,
    pub address: SocketAddr,
    pub config: String,
}

impl FailoverFixture {
    /// Starts an origin and makes a configuration with one route, `/prices`, that has these lines.
    pub async fn new(route: &str) -> Self {
        let mut world = World::new().await;
        let address = reserved_addr::reserve();
        world.identity = world.authority.server_for("place", &[&address.ip().to_string(), "127.0.0.1"]);
        let config = world.config_with_main(
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
        Self { world, address, config }
    }

    /// Puts the route's logs on disk.
    pub fn with_store(self) -> Self {
        let store = format!("[store]\npath = \"{}\"", self.world.file("store"));
        let config = self.config.replace("verdict = \"gap\"", "verdict = \"gap\"\nstore = \"disk\"");
        Self { config: format!("{config}\n{store}"), ..self }
    }

    pub async fn start(&self) -> Rillgate {
        Rillgate::start(&self.config).await
    }

    pub fn follow(&self, client: &Adapter, query: &str, bearer: Option<&Path>) -> Following {
        let url = format!("https://{}/prices{query}", self.address);
        client.follow(&self.world.authority, &url, bearer, &["price", "trade", "rillgate.resume"])
    }

    /// An event whose data is its id, once there is a response that takes it.
    pub async fn say(&self, id: &str) {
        eventually(DEADLINE, || async { self.world.origin.connections().open >= 1 }).await;
        self.world.origin.emit(Emission::event(id, "", id));
    }

    /// Puts a token that lasts so many seconds where the client looks for it.
    pub fn write_token(&self, seconds: f64, scope: &str) -> PathBuf {
        let (path, next) = (self.world.file("token").into(), self.world.file("token.next"));
        std::fs::write(&next, token(&json!({ "exp": in_seconds(seconds), "scope": scope }))).unwrap();
        std::fs::rename(next, &path).unwrap();
        path
    }
}
