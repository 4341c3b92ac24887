//! `[[listeners]]`: the addresses that clients connect to.
//!
//! Certificate chains and private keys are read and matched here. Sockets are bound elsewhere.

use super::parsers;
use super::referenced_files;
use crate::config::engine::{KeySpec, Kind, Table, Value};
use crate::listen::{Address, Settings, TlsSettings, TlsVersion};

pub(super) const LISTENER: &[KeySpec] = &[
    KeySpec::optional("name", Kind::String, "Unique name; metric label. Absent: the address."),
    KeySpec::optional("address", Kind::String, "IP address and port. Port 0: the system chooses a port."),
    KeySpec::optional("systemd", Kind::String, "Name of the sockets passed by systemd, instead of address."),
    KeySpec::default(
        "reuse_port",
        Kind::Bool,
        "false",
        "Allow another process to listen on the same address. By default, a second gateway fails to start.",
    ),
    KeySpec::default(
        "proxy_protocol",
        Kind::Bool,
        "false",
        "Require a PROXY protocol header (v1 or v2) at the start of every connection. Needs trusted_proxies; connections from other addresses are closed.",
    ),
    KeySpec::default(
        "trusted_proxies",
        Kind::List(&Kind::String),
        "[]",
        "Networks (CIDR) of proxies whose Forwarded and X-Forwarded-For headers are trusted.",
    ),
    KeySpec::optional(
        "tls",
        Kind::Table(TLS),
        "TLS. Absent: plain HTTP/1.1, and HTTP/2 with prior knowledge, for use behind a load balancer.",
    ),
];

const TLS: &[KeySpec] = &[
    KeySpec::required(
        "certificates",
        Kind::List(&Kind::Table(referenced_files::CERTIFICATE)),
        "Certificates, selected by SNI; the first one is the fallback. Read again when the files change.",
    ),
    KeySpec::default("min_version", Kind::Enum(&["1.2", "1.3"]), "1.2", "Minimum TLS version."),
    KeySpec::optional(
        "client_ca",
        Kind::String,
        "PEM file of CA certificates that client certificates must be signed by (mutual TLS). Absent: no client certificates.",
    ),
];

/// Reads all listeners. Names and addresses must be unique.
pub(super) fn listeners(values: &[Value<'_>]) -> Vec<Settings> {
    let mut found: Vec<Settings> = Vec::new();
    for value in values {
        let Some(table) = value.table() else { continue };
        let Some(settings) = listener(&table) else { continue };
        if found.iter().any(|other| other.name == settings.name) {
            table.report("name", "another listener has the same name");
        }
        if found.iter().any(|other| overlaps(&other.address, &settings.address)) {
            table.report("address", "another listener has the same address");
        }
        found.push(settings);
    }
    found
}

fn listener(table: &Table<'_>) -> Option<Settings> {
    let name = table.get("name").and_then(|value| parsers::label(&value));
    let address = address(table);
    let trusted_proxies = table.items("trusted_proxies").iter().filter_map(parsers::network).collect::<Vec<_>>();
    let proxy_protocol = table.boolean("proxy_protocol");
    if proxy_protocol && !table.contains("trusted_proxies") {
        table.report("proxy_protocol", "needs trusted_proxies: a header from any other client could be forged");
    } else if proxy_protocol && trusted_proxies.is_empty() {
        table.report("trusted_proxies", "must not be empty with proxy_protocol = true");
    }
    let reuse_port = table.boolean("reuse_port");
    let tls = table.optional_table("tls").as_ref().map(tls);
    let address = address?;
    let name = name.unwrap_or_else(|| match &address {
        Address::Socket(address) => address.to_string(),
        Address::Systemd(name) => name.clone(),
    });
    Some(Settings { name, address, reuse_port, proxy_protocol, trusted_proxies, tls })
}

fn address(table: &Table<'_>) -> Option<Address> {
    match (table.get("address"), table.get("systemd")) {
        (Some(address), None) => parsers::address(&address).map(Address::Socket),
        (None, Some(socket)) => parsers::label(&socket).map(Address::Systemd),
        (Some(_), Some(_)) => {
            table.report("systemd", "conflicts with address: a listener has one of the two");
            None
        }
        (None, None) => {
            table.report("address", "missing: a listener needs address or systemd");
            None
        }
    }
}

fn tls(table: &Table<'_>) -> TlsSettings {
    let certificates = table.nonempty_items("certificates");
    let certificates = certificates
        .iter()
        .filter_map(|value| referenced_files::certified_key(&value.table()?))
        .map(|(files, _)| files)
        .collect();
    let min_version = table.variant("min_version", &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)]);
    let client_ca = table.get("client_ca").and_then(|value| referenced_files::watched_authorities(&value));
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
