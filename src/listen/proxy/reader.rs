//! Reads the PROXY protocol header of a connection from a trusted proxy.
//!
//! The header must arrive whole and in time. No byte after it is read, because TLS or HTTP continues there.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::header::Header;
use super::trusted::TrustedProxies;
use crate::listen::accept::{Admitted, ConnectionLimit};

/// The client of a proxied connection.
pub(crate) struct ProxiedPeer {
    /// The client's address.
    pub address: SocketAddr,
    /// The permit, counted for that address.
    pub admitted: Admitted,
}

/// The reason why a proxy's connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyRefusal {
    /// The header is missing, malformed or incomplete.
    Header,
    /// The header was not complete within `limits.handshake_timeout`.
    TimedOut,
    /// The client has no room for another connection.
    Limit(ConnectionLimit),
}

impl ProxyRefusal {
    /// Returns the metric label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Header => "proxy_header",
            Self::TimedOut => "handshake_timeout",
            Self::Limit(limit) => limit.label(),
        }
    }
}

/// Reads the header of a connection from `peer` within `limit`, and counts the connection for the client. Without a
/// client in the header it is counted for the proxy.
///
/// # Errors
/// See [`ProxyRefusal`].
pub(crate) async fn read_client(
    mut tcp: TcpStream,
    peer: SocketAddr,
    admitted: Admitted,
    trusted: &TrustedProxies,
    limit: Duration,
) -> Result<(TcpStream, ProxiedPeer), ProxyRefusal> {
    match timeout(limit, read_header(&mut tcp)).await {
        Ok(Ok(None)) => Ok((tcp, ProxiedPeer { address: peer, admitted })),
        Ok(Ok(Some(address))) => {
            let admitted =
                admitted.reassign(address.ip(), !trusted.contains(address.ip())).map_err(ProxyRefusal::Limit)?;
            Ok((tcp, ProxiedPeer { address, admitted }))
        }
        Ok(Err(_)) => Err(ProxyRefusal::Header),
        Err(_) => Err(ProxyRefusal::TimedOut),
    }
}

async fn read_header(tcp: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut header = Vec::new();
    loop {
        match Header::parse(&header).map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed))? {
            Header::Complete(source) => return Ok(source),
            Header::Incomplete(missing) => {
                let mut part = (&mut *tcp).take(missing as u64);
                if part.read_buf(&mut header).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}
