//! `[[listeners]]`: the addresses that clients connect to.
//!
//! Certificate chains and private keys are read and matched here. Sockets are bound elsewhere.

use super::parsers;
use super::referenced_files;
use super::referenced_files::CertificateTable;
use crate::config::engine::{List, Value, keys, variants};
use crate::listen::{Address, ClientAddress, Settings, TlsSettings, TlsVersion};

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
        /// Source of the client's address: the connection, or the one field that all trusted_proxies write. Others are
        /// ignored. "proxy-protocol" requires a PROXY protocol header (v1 or v2) at the start of every connection, and
        /// connections from addresses outside trusted_proxies are closed. Absent: "peer". Required with
        /// trusted_proxies.
        client_address: ClientAddress = optional,
        /// Older spelling of client_address = "proxy-protocol".
        proxy_protocol: bool = "false",
        /// Networks (CIDR) of proxies that are trusted to report the client's address, request ids and traces. They have
        /// no limit per address.
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

variants!(ClientAddress {
    "peer" => Peer,
    "x-forwarded-for" => XForwardedFor,
    "forwarded" => Forwarded,
    "proxy-protocol" => ProxyProtocol,
});
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
    let client_address = client_address(table, trusted_proxies.is_empty());
    let reuse_port = table.reuse_port.get();
    let tls = table.tls.read().as_ref().map(tls);
    let address = address?;
    let name = name.unwrap_or_else(|| match &address {
        Address::Socket(address) => address.to_string(),
        Address::Systemd(name) => name.clone(),
    });
    Some(Settings { name, address, reuse_port, client_address, trusted_proxies, tls })
}

/// Reads the source of the client's address. It is never guessed: a proxy that writes one field passes the others on as
/// the client wrote them.
fn client_address(table: &ListenerTable<'_>, has_no_proxies: bool) -> ClientAddress {
    let is_named = table.client_address.is_given();
    let is_proxy_protocol = table.proxy_protocol.get();
    let source = match table.client_address.read() {
        Some(source) => source,
        None if is_proxy_protocol => ClientAddress::ProxyProtocol,
        None => ClientAddress::Peer,
    };
    if is_named && is_proxy_protocol && source != ClientAddress::ProxyProtocol {
        table.proxy_protocol.report("conflicts with client_address: a listener has one source of the client's address");
    }
    let is_from_proxy = source != ClientAddress::Peer;
    if is_from_proxy && !table.trusted_proxies.is_given() {
        let message = "needs trusted_proxies: a header from any other client could be forged";
        if is_named { table.client_address.report(message) } else { table.proxy_protocol.report(message) }
    } else if is_from_proxy && has_no_proxies {
        table.trusted_proxies.report("must not be empty, because client_address is taken from proxies");
    } else if !is_named && !is_proxy_protocol && !has_no_proxies {
        table.trusted_proxies.report(
            "needs client_address, the one field that these proxies write: \"x-forwarded-for\", \"forwarded\" or \
             \"proxy-protocol\"; or \"peer\" for none of them",
        );
    }
    source
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
