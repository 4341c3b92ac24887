//! An origin, one or two gateways, and a proxy of a recipe in front of them.

use std::net::{IpAddr, SocketAddr};

use super::proxy::RecipeProxy;
use super::recipe::{Addresses, Recipe};
use crate::support::certificates::Authority;
use crate::support::client::{Client, Protocol};
use crate::support::origin::Origin;
use crate::support::reserved_addr::reserve;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;

/// Everything between an origin and a client.
pub struct Site {
    pub origin: Origin,
    pub gateways: Vec<Rillgate>,
    pub proxy: RecipeProxy,
    pub authority: Authority,
}

impl Site {
    /// Starts one gateway, for which the configuration has both lines, with these lines for the delivery of its route and
    /// further tables.
    pub async fn start(recipe: Recipe, delivery: &str, tables: &str) -> Self {
        Self::start_with(recipe, |setup| setup.delivery(delivery).after(tables), 1, |text| text).await
    }

    /// Starts so many gateways, with a configuration of the proxy that `change` may have changed.
    pub async fn start_with(
        recipe: Recipe,
        configure: impl FnOnce(Setup) -> Setup,
        gateways: usize,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let (authority, origin) = (Authority::new(), Origin::start().await);
        origin.honour_last_event_id();
        // Addresses that nothing else uses, so that the gateways can have the same ports.
        let [one, two] = [reserve().ip(), reserve().ip()];
        let second = if gateways == 1 { one } else { two };
        let addresses = Addresses {
            public: reserve(),
            proxy_admin: reserve(),
            gateways: [one, second],
            port: reserve().port(),
            admin_port: reserve().port(),
        };
        let mut setup = configure(Setup::for_origin(&origin.url()))
            .listener(&format!("{}\ntrusted_proxies = [\"127.0.0.1/32\"]", recipe.client_address()));
        if recipe.is_tcp() {
            let public = addresses.public.ip().to_string();
            setup = setup.tls(&authority.server_for("gateway", &[&public, "localhost"]));
        }
        let mut running = Vec::new();
        for ip in [one, two].into_iter().take(gateways) {
            let admin = SocketAddr::new(ip, addresses.admin_port);
            let toml = setup.toml_with_admin_at(SocketAddr::new(ip, addresses.port), admin);
            running.push(Rillgate::start(&toml).await);
        }
        let proxy = RecipeProxy::start(recipe, &authority, &addresses, change).await;
        Self { origin, gateways: running, proxy, authority }
    }

    /// Returns a client of the proxy.
    pub fn client(&self, protocol: Protocol) -> Client {
        let address = self.proxy.address();
        Client::new(protocol, address).host(&address.ip().to_string()).tls(&self.authority)
    }

    /// Opens a stream over each protocol, from this address.
    pub async fn subscribe_twice(&self, path: &str, from: IpAddr) -> [Subscription; 2] {
        let client = |protocol| self.client(protocol).coming_from(from);
        let (http1, http2) = (client(Protocol::Http1), client(Protocol::Http2));
        tokio::join!(http1.subscribe(path, &[]), http2.subscribe(path, &[])).into()
    }

    /// Returns the URL of a stream behind the proxy.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.proxy.address())
    }
}
