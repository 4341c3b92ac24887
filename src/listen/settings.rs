//! The settings of a listener: one validated `[[listeners]]` table.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

/// One configured listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Name and metric label. Default: the address.
    pub name: String,
    /// The address to listen on.
    pub address: Address,
    /// Whether other processes may listen on the same address (`SO_REUSEPORT`). Default: false.
    pub reuse_port: bool,
    /// The source of the client's address. Default: the peer.
    pub client_address: ClientAddress,
    /// Proxies that are trusted to report the client's address. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    /// TLS settings. Without them the listener speaks plain HTTP/1.1, and HTTP/2 with prior knowledge.
    pub tls: Option<TlsSettings>,
}

/// The one source from which a listener takes the client's address. Others of its kind are ignored, because a proxy
/// passes on what the client wrote there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// The other end of the connection.
    Peer,
    /// `X-Forwarded-For` of trusted proxies.
    XForwardedFor,
    /// `Forwarded` (RFC 7239) of trusted proxies.
    Forwarded,
    /// A PROXY protocol header, which every connection must have.
    ProxyProtocol,
}

/// An address to bind, or a socket that is already bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Bind this address. With port 0 the system chooses a port.
    Socket(SocketAddr),
    /// Take the socket that systemd passes under this name.
    Systemd(String),
}

/// One `[listeners.tls]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificates, chosen by SNI. The first one is the fallback. Never empty.
    pub certificates: Vec<CertificateFiles>,
    /// The lowest TLS version that is accepted.
    pub min_version: TlsVersion,
    /// The certificate authorities of client certificates (mutual TLS). `None`: clients send no certificate.
    pub client_ca: Option<PathBuf>,
}

/// The PEM files of a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The certificate chain, leaf first.
    pub chain: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// A supported TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2
    V1_2,
    /// TLS 1.3
    V1_3,
}
