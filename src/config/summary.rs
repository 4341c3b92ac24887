//! What `check` prints when all is well: what is open, to whom, and what an operator may have meant otherwise.
//!
//! Holds no secret and no URL beyond scheme, host and port. Judges nothing: what must not be is a problem, not a
//! warning.

use std::fmt::Write as _;

use super::Config;
use crate::listen::Address;
use crate::route::{Access, LogStorage, Open, Settings};

impl Config {
    /// A few lines for people: listeners, upstreams, routes, and warnings.
    pub fn summary(&self) -> String {
        let mut lines = Vec::new();
        for listener in &self.listeners {
            let address = match &listener.address {
                Address::Socket(address) => address.to_string(),
                Address::Systemd(name) => format!("systemd socket {name}"),
            };
            let tls = match &listener.tls {
                None => "plain".to_owned(),
                Some(tls) if tls.client_ca.is_some() => format!("TLS, {}, mutual", count(tls.certificates.len())),
                Some(tls) => format!("TLS, {}", count(tls.certificates.len())),
            };
            lines.push(format!("listener {}: {address}, {tls}", listener.name));
        }
        lines.extend(self.admin.as_ref().map(|admin| format!("admin: {}", admin.address)));
        lines.extend(
            self.store
                .as_ref()
                .map(|store| format!("store: {}, at most {} MiB", store.path.display(), store.bytes >> 20)),
        );
        for target in self.upstreams.values() {
            let origins = target.origins.iter().map(|origin| format!("{}://{}", origin.scheme, origin.authority));
            lines.push(format!("upstream {}: {}", target.name, origins.collect::<Vec<_>>().join(", ")));
        }
        lines.extend(self.routes.iter().map(|route| line(route)));
        lines.extend(self.warnings().into_iter().map(|warning| format!("warning: {warning}")));
        lines.join("\n")
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.admin.is_none() {
            warnings.push("there is no [admin] table: no health, no metrics".to_owned());
        }
        if self.routes.is_empty() {
            warnings.push("there are no routes: every request gets 404".to_owned());
        }
        for route in &self.routes {
            match &route.access {
                Access::Public => warnings.push(format!("route {} is public", route.name)),
                Access::Token(rules) if !rules.enforce => {
                    warnings.push(format!("route {} does not enforce its rules", route.name));
                }
                Access::Token(_) => {}
            }
            if route.cors.as_ref().is_some_and(|cors| cors.origins.iter().any(|origin| origin == "*")) {
                warnings.push(format!("route {} can be read by pages of every origin", route.name));
            }
        }
        let is_plain = |listener: &&crate::listen::Settings| listener.tls.is_none();
        for listener in self.listeners.iter().filter(is_plain) {
            warnings.push(format!("listener {} has no TLS: tokens pass in the clear", listener.name));
        }
        for name in self.issuers.keys() {
            let is_used = |access: &Access| match access {
                Access::Public => false,
                Access::Token(rules) => rules.issuers.contains(name),
            };
            if !self.routes.iter().any(|route| is_used(&route.access)) {
                warnings.push(format!("issuer {name} is used by no route"));
            }
        }
        for name in self.upstreams.keys() {
            if !self.routes.iter().any(|route| route.upstream.name == *name) {
                warnings.push(format!("upstream {name} is used by no route"));
            }
        }
        warnings
    }
}

fn count(certificates: usize) -> String {
    format!("{certificates} certificate{}", if certificates == 1 { "" } else { "s" })
}

fn line(route: &Settings) -> String {
    let access = match &route.access {
        Access::Public => "public".to_owned(),
        Access::Token(rules) => format!("tokens of {}", rules.issuers.join(", ")),
    };
    let keeping = match route.replay.store {
        LogStorage::Memory => "in memory",
        LogStorage::Disk => "on disk",
    };
    let retention = &route.stream.retention;
    let mut line = format!("route {}: ", route.name);
    if let Some(host) = &route.host {
        line.push_str(host);
    }
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        "{} from {}, {access}, keeps {} events or {} KiB or {:?} {keeping}",
        route.path,
        route.upstream.name,
        retention.events,
        retention.bytes / 1024,
        retention.age,
    );
    if route.open == Open::Always {
        line.push_str(", always open");
    }
    line
}
