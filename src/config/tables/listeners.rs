//! `[[listeners]]`: where clients come in.
//!
//! Certificates and keys have been read and belong together when a listener is believed. Binds nothing.

use super::parsers;
use super::referenced_files;
use crate::config::engine::{KeySpec, Kind, Table, Value};
use crate::listen::{Address, Settings, TlsSettings, TlsVersion};

pub(super) const LISTENER: &[KeySpec] = &[
    KeySpec::optional("name", Kind::String, "Metric label, unique. Absent: the address."),
    KeySpec::optional("address", Kind::String, "IP address and port. Port 0: the system chooses."),
    KeySpec::optional("systemd", Kind::String, "Instead of an address: the name of a socket that systemd passes."),
    KeySpec::default(
        "reuse_port",
        Kind::Bool,
        "false",
        "Let another process listen on the same address. Off, so that a second gateway fails to start.",
    ),
    KeySpec::default(
        "proxy_protocol",
        Kind::Bool,
        "false",
        "Expect a PROXY protocol header (v1 or v2) from trusted_proxies, which must then not be empty.",
    ),
    KeySpec::default(
        "trusted_proxies",
        Kind::List(&Kind::String),
        "[]",
        "Networks (CIDR) whose Forwarded and X-Forwarded-For are believed.",
    ),
    KeySpec::optional(
        "tls",
        Kind::Table(TLS),
        "Absent: plain HTTP/1.1, and HTTP/2 with prior knowledge, for use behind a balancer.",
    ),
];

const TLS: &[KeySpec] = &[
    KeySpec::required(
        "certificates",
        Kind::List(&Kind::Table(referenced_files::CERTIFICATE)),
        "Chosen by SNI, the first where none fits; read again when the files change.",
    ),
    KeySpec::default("min_version", Kind::Enum(&["1.2", "1.3"]), "1.2", "The lowest version of TLS spoken."),
    KeySpec::optional("client_ca", Kind::String, "File of certificates in PEM that sign the clients': mutual TLS."),
];

/// All listeners, no two of one name or address.
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
        table.report("proxy_protocol", "needs trusted_proxies: from anyone else the header would be a forgery");
    } else if proxy_protocol && trusted_proxies.is_empty() {
        table.report("trusted_proxies", "is empty, but proxy_protocol needs someone to trust");
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
            table.report("systemd", "stands beside address: a listener has one of the two");
            None
        }
        (None, None) => {
            table.report("address", "is missing");
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
    let client_ca = table.get("client_ca").and_then(|value| {
        let (path, authorities) = referenced_files::certificates(&value)?;
        let mut roots = rustls::RootCertStore::empty();
        if roots.add_parsable_certificates(authorities).1 > 0 {
            value.report("the file holds a certificate that cannot be read");
        }
        Some(path)
    });
    TlsSettings { certificates, min_version, client_ca }
}

/// Whether the second of two sockets could not be bound: the same port, and the same address or all of them.
pub(super) fn overlaps(a: &Address, b: &Address) -> bool {
    match (a, b) {
        (Address::Socket(a), Address::Socket(b)) => {
            let covers = a.ip().is_unspecified() || b.ip().is_unspecified();
            a.port() == b.port() && a.port() != 0 && a.is_ipv4() == b.is_ipv4() && (covers || a.ip() == b.ip())
        }
        (Address::Systemd(a), Address::Systemd(b)) => a == b,
        (Address::Socket(_), Address::Systemd(_)) | (Address::Systemd(_), Address::Socket(_)) => false,
    }
}
