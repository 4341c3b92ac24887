//! A builder of a gateway's configuration, for tests that set only a few keys.
//!
//! Always true: it has one public route `/{name}` named `all` to one upstream, one listener and an admin port.
//! Everything else has its default.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::certificates::{Authority, Identity};
use super::client::{Client, Protocol};
use super::server::Rillgate;

/// A configuration under construction; every method adds lines to one table.
#[derive(Clone, Default)]
pub struct Setup {
    server: String,
    listener: String,
    limits: String,
    upstream: String,
    route: String,
    replay: String,
    delivery: String,
    after: String,
}

impl Setup {
    /// Starts a configuration in front of the origin at this base URL.
    pub fn for_origin(url: &str) -> Self {
        Self { upstream: format!("urls = [\"{url}\"]\n"), ..Self::default() }
    }

    pub fn server(mut self, lines: &str) -> Self {
        add(&mut self.server, lines);
        self
    }

    /// Adds lines to the listener's table; [`Self::tls`] adds `tls`.
    pub fn listener(mut self, lines: &str) -> Self {
        add(&mut self.listener, lines);
        self
    }

    pub fn tls(self, identity: &Identity) -> Self {
        let (chain, key) = (identity.chain.display(), identity.key.display());
        self.listener(&format!("tls = {{ certificates = [{{ chain = \"{chain}\", key = \"{key}\" }}] }}"))
    }

    pub fn limits(mut self, lines: &str) -> Self {
        add(&mut self.limits, lines);
        self
    }

    pub fn upstream(mut self, lines: &str) -> Self {
        add(&mut self.upstream, lines);
        self
    }

    pub fn route(mut self, lines: &str) -> Self {
        add(&mut self.route, lines);
        self
    }

    pub fn replay(mut self, lines: &str) -> Self {
        add(&mut self.replay, lines);
        self
    }

    pub fn delivery(mut self, lines: &str) -> Self {
        add(&mut self.delivery, lines);
        self
    }

    /// Adds whole tables after everything else.
    pub fn after(mut self, tables: &str) -> Self {
        add(&mut self.after, tables);
        self
    }

    pub fn toml(&self) -> String {
        let Self { server, listener, limits, upstream, route, replay, delivery, after } = self;
        format!(
            "[server]\n{server}\n[admin]\naddress = \"127.0.0.1:0\"\n[limits]\n{limits}\n\
             [[listeners]]\nname = \"public\"\naddress = \"127.0.0.1:0\"\n{listener}\n[upstreams.origin]\n{upstream}\n\
             [[routes]]\nname = \"all\"\npath = \"/{{name}}\"\nupstream = \"origin\"\nauth = \"public\"\n{route}\n\
             [routes.replay]\n{replay}\n[routes.delivery]\n{delivery}\n{after}\n"
        )
    }

    /// Returns the configuration with a listener at this address, which a restarted gateway keeps.
    pub fn toml_at(&self, address: SocketAddr) -> String {
        let public = "name = \"public\"\naddress = ";
        self.toml().replace(&format!("{public}\"127.0.0.1:0\""), &format!("{public}\"{address}\""))
    }

    /// Returns the configuration with a listener and the admin port at these addresses.
    pub fn toml_with_admin_at(&self, address: SocketAddr, admin: SocketAddr) -> String {
        let ephemeral = "[admin]\naddress = \"127.0.0.1:0\"";
        self.toml_at(address).replace(ephemeral, &format!("[admin]\naddress = \"{admin}\""))
    }

    pub async fn start(&self) -> Rillgate {
        Rillgate::start(&self.toml()).await
    }
}

/// Returns a client for each protocol, plain or trusting `authority`.
pub fn both_protocols(gateway: &Rillgate, authority: Option<&Authority>) -> [Client; 2] {
    [Protocol::Http1, Protocol::Http2].map(|protocol| {
        let client = Client::new(protocol, gateway.address());
        match authority {
            Some(authority) => client.tls(authority),
            None => client,
        }
    })
}

fn add(table: &mut String, lines: &str) {
    writeln!(table, "{lines}").expect("a string takes everything");
}
