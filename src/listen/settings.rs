//! What the configuration says about one listener: a `[[listeners]]` table, believed.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

/// One place to accept connections at.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Metric label; the address unless configured.
    pub name: String,
    /// Where to listen.
    pub address: Address,
    /// Let other processes listen on the same address (`SO_REUSEPORT`). Default false.
    pub reuse_port: bool,
    /// Expect a PROXY protocol header from trusted proxies.
    pub proxy_protocol: bool,
    /// Peers whose word about the client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Absent: plain HTTP/1.1, and HTTP/2 with prior knowledge.
    pub tls: Option<TlsSettings>,
}

/// An address to bind, or a socket that is already bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Bind this. Port 0 lets the system choose.
    Socket(SocketAddr),
    /// Take the socket that systemd passes under this name.
    Systemd(String),
}

/// One `[listeners.tls]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Chosen by SNI; the first is used where none fits. Never empty.
    pub certificates: Vec<CertificateFiles>,
    /// The lowest version spoken.
    pub min_version: TlsVersion,
    /// Certificates that sign the clients' (mutual TLS). Absent: clients show none.
    pub client_ca: Option<PathBuf>,
}

/// Where a certificate and its key are, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub chain: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// A TLS version that rillgate speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2
    V1_2,
    /// TLS 1.3
    V1_3,
}
