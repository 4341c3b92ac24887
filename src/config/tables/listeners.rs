//! `[[listeners]]`: the addresses that clients connect to.
//!
//! Certificate chains and private keys are read and matched here. Sockets are bound elsewhere.

use super::parsers;
use super::referenced_files;
use super::referenced_files::CertificateTable;
use crate::config::engine::{List, Value, keys, variants};
use crate::listen::{Address, Settings, TlsSettings, TlsVersion};

keys! {
    pub(super) struct ListenerTable<'a> {
        /// Unique name; metric label. Absent: the address.
        name: &'a str = optional,
        /// IP address and port. Port 0: the system chooses a port.
        address: &'a str = optional,
        /// Name of the sockets passed by systemd, instead of address.
        systemd: &'a str = optional,
        /// Allow another process to listen on the same address. By default, a second gateway fails to start.
        reuse_port: bool = "false",
        /// Require a PROXY protocol header (v1 or v2) at the start of every connection. Needs trusted_proxies;
        /// connections from other addresses are closed.
        proxy_protocol: bool = "false",
        /// Networks (CIDR) of proxies whose Forwarded and X-Forwarded-For headers are trusted.
        trusted_proxies: List<'a, &'a str> = "[]",
        /// TLS. Absent: plain HTTP/1.1, and HTTP/2 with prior knowledge, for use behind a load balancer.
        tls: ListenerTlsTable<'a> = optional,
    }

    struct ListenerTlsTable<'a> {
        /// Certificates, selected by SNI; the first one is the fallback. Read again when the files change.
        certificates: List<'a, CertificateTable<'a>> = required,
        /// Minimum TLS version.
        min_version: TlsVersion = "1.2",
        /// PEM file of CA certificates that client certificates must be signed by (mutual TLS). Absent: no client
        /// certificates.
        client_ca: &'a str = optional,
    }
}

variants!(TlsVersion { "1.2" => V1_2, "1.3" => V1_3 });

/// Reads all listeners. Names and addresses must be unique.
pub(super) fn listeners<'a>(values: &[Value<'a, ListenerTable<'a>>]) -> Vec<Settings> {
    let mut found: Vec<Settings> = Vec::new();
    for value in values {
        let Some(table) = value.read() else { continue };
        let Some(settings) = listener(&table) else { continue };
        if found.iter().any(|other| other.name == settings.name) {
            table.name.report("another listener has the same name");
        }
        if found.iter().any(|other| overlaps(&other.address, &settings.address)) {
            table.address.report("another listener has the same address");
        }
        found.push(settings);
    }
    found
}

fn listener(table: &ListenerTable<'_>) -> Option<Settings> {
    let name = table.name.value().and_then(|value| parsers::label(&value));
    let address = address(table);
    let trusted_proxies = table.trusted_proxies.items().iter().filter_map(parsers::network).collect::<Vec<_>>();
    let proxy_protocol = table.proxy_protocol.get();
    if proxy_protocol && !table.trusted_proxies.is_given() {
        table.proxy_protocol.report("needs trusted_proxies: a header from any other client could be forged");
    } else if proxy_protocol && trusted_proxies.is_empty() {
        table.trusted_proxies.report("must not be empty with proxy_protocol = true");
    }
    let reuse_port = table.reuse_port.get();
    let tls = table.tls.read().as_ref().map(tls);
    let address = address?;
    let name = name.unwrap_or_else(|| match &address {
        Address::Socket(address) => address.to_string(),
        Address::Systemd(name) => name.clone(),
    });
    Some(Settings { name, address, reuse_port, proxy_protocol, trusted_proxies, tls })
}

fn address(table: &ListenerTable<'_>) -> Option<Address> {
    match (table.address.value(), table.systemd.value()) {
        (Some(address), None) => parsers::address(&address).map(Address::Socket),
        (None, Some(socket)) => parsers::label(&socket).map(Address::Systemd),
        (Some(_), Some(_)) => {
            table.systemd.report("conflicts with address: a listener has one of the two");
            None
        }
        (None, None) => {
            table.address.report("missing: a listener needs address or systemd");
            None
        }
    }
}

fn tls(table: &ListenerTlsTable<'_>) -> TlsSettings {
    let certificates = table.certificates.nonempty_items();
    let certificates = certificates
        .iter()
        .filter_map(|value| referenced_files::certified_key(&value.read()?))
        .map(|(files, _)| files)
        .collect();
    let min_version = table.min_version.get();
    let client_ca = table.client_ca.value().and_then(|value| referenced_files::watched_authorities(&value));
    TlsSettings { certificates, min_version, client_ca }
}

/// Returns true if two addresses cannot both be bound: same port and family, and the same IP address or a wildcard.
pub(super) fn overlaps(a: &Address, b: &Address) -> bool {
    match (a, b) {
        (Address::Socket(a), Address::Socket(b)) => {
            let is_wildcard = a.ip().is_unspecified() || b.ip().is_unspecified();
            a.port() == b.port() && a.port() != 0 && a.is_ipv4() == b.is_ipv4() && (is_wildcard || a.ip() == b.ip())
        }
        (Address::Systemd(a), Address::Systemd(b)) => a == b,
        (Address::Socket(_), Address::Systemd(_)) | (Address::Systemd(_), Address::Socket(_)) => false,
    }
}
