//! The output of `rillgate check` for a valid configuration: listeners, upstreams, routes, and warnings.
//!
//! The summary contains no secrets, and only scheme, host and port of URLs. A warning is about something valid that the
//! operator may not have intended; invalid settings are problems.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::Config;
use crate::cluster::ClusterSettings;
use crate::listen::Address;
use crate::route::{Access, LogStorage, Open, Settings};

impl Config {
    /// Returns the summary, one line per listener, upstream, route and warning.
    pub fn summary(&self) -> String {
        let mut lines = Vec::new();
        for listener in &self.listeners {
            let address = match &listener.address {
                Address::Socket(address) => address.to_string(),
                Address::Systemd(name) => format!("systemd socket {name}"),
            };
            let tls = match &listener.tls {
                None => "plain".to_owned(),
                Some(tls) if tls.client_ca.is_some() => {
                    format!("TLS, {}, mutual", certificate_count(tls.certificates.len()))
                }
                Some(tls) => format!("TLS, {}", certificate_count(tls.certificates.len())),
            };
            lines.push(format!("listener {}: {address}, {tls}", listener.name));
        }
        lines.extend(self.admin.as_ref().map(|admin| format!("admin: {}", admin.address)));
        lines.extend(
            self.store
                .as_ref()
                .map(|store| format!("store: {}, at most {} MiB", store.path.display(), store.bytes >> 20)),
        );
        lines.extend(self.cluster.as_ref().map(cluster_line));
        for upstream in self.upstreams.values() {
            let origins = upstream.origins.iter().map(|origin| format!("{}://{}", origin.scheme, origin.authority));
            lines.push(format!("upstream {}: {}", upstream.name, origins.collect::<Vec<_>>().join(", ")));
        }
        lines.extend(self.routes.iter().map(|route| route_line(route)));
        lines.extend(self.warnings().into_iter().map(|warning| format!("warning: {warning}")));
        lines.join("\n")
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.admin.is_none() {
            warnings.push("no [admin] table: health checks and metrics are unavailable".to_owned());
        }
        if self.routes.is_empty() {
            warnings.push("no routes: every request is answered with 404".to_owned());
        }
        for route in &self.routes {
            match &route.access {
                Access::Public => warnings.push(format!("route {} is public", route.name)),
                Access::Token(rules) if !rules.enforce => {
                    warnings.push(format!("route {} does not enforce its token rules", route.name));
                }
                Access::Token(_) => {}
            }
            if route.cors.as_ref().is_some_and(|cors| cors.origins.iter().any(|origin| origin == "*")) {
                warnings.push(format!("route {} can be read by web pages of any origin", route.name));
            }
        }
        warnings.extend(self.cluster.iter().flat_map(cluster_warnings));
        let is_plain = |listener: &&crate::listen::Settings| listener.tls.is_none();
        for listener in self.listeners.iter().filter(is_plain) {
            warnings.push(format!("listener {} has no TLS: tokens are sent in clear text", listener.name));
        }
        for name in self.issuers.keys() {
            let is_used = |access: &Access| match access {
                Access::Public => false,
                Access::Token(rules) => rules.issuers.contains(name),
            };
            if !self.routes.iter().any(|route| is_used(&route.access)) {
                warnings.push(format!("issuer {name} is not used by any route"));
            }
        }
        for name in self.upstreams.keys() {
            if !self.routes.iter().any(|route| route.upstream.name() == name.as_str()) {
                warnings.push(format!("upstream {name} is not used by any route"));
            }
        }
        warnings
    }
}

fn cluster_line(cluster: &ClusterSettings) -> String {
    let urls: Vec<_> = cluster.urls.iter().map(ToString::to_string).collect();
    let keys = if cluster.keys.len() > 1 { ", two keys" } else { "" };
    format!(
        "cluster {}: {}, lease {:?}, {} replica{}, at most {} MiB{keys}",
        cluster.name,
        urls.join(", "),
        cluster.lease,
        cluster.replicas,
        if cluster.replicas == 1 { "" } else { "s" },
        cluster.bytes >> 20,
    )
}

fn cluster_warnings(cluster: &ClusterSettings) -> Vec<String> {
    let is_local = |host: &str| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    let exposed = cluster.urls.iter().filter(|url| !url.is_tls() && !is_local(url.host()));
    exposed.map(|url| format!("cluster: {url} has no TLS: events and credentials are sent in clear text")).collect()
}

fn certificate_count(certificates: usize) -> String {
    format!("{certificates} certificate{}", if certificates == 1 { "" } else { "s" })
}

fn route_line(route: &Settings) -> String {
    let access = match &route.access {
        Access::Public => "public".to_owned(),
        Access::Token(rules) => format!("tokens of {}", rules.issuers.join(", ")),
    };
    let mut line = format!("route {}: ", route.name);
    if let Some(host) = &route.host {
        line.push_str(host);
    }
    if route.forward.is_some() {
        // Writing to a string cannot fail.
        let _ = write!(line, "{} forwarded to {}, {access}", route.path, route.upstream.name());
        return line;
    }
    let storage = match route.stream.storage {
        LogStorage::Memory => "in memory",
        LogStorage::Disk => "on disk",
        LogStorage::Cluster => "in the cluster",
    };
    let retention = &route.stream.retention;
    let _ = write!(
        line,
        "{} from {}, {access}, keeps {} events or {} KiB or {:?} {storage}",
        route.path,
        route.upstream.name(),
        retention.events,
        retention.bytes / 1024,
        retention.age,
    );
    if route.post.is_some() {
        line.push_str(", opened by POST");
    }
    if route.open == Open::Always {
        line.push_str(", always open");
    }
    line
}
