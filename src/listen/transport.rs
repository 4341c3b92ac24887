//! The byte stream under HTTP: a TCP connection, with or without TLS.
//!
//! One type for both, so that hyper, h2 and the writers do not differ. It knows nothing of the protocol above.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::send::{poll_send, poll_send_vectored};
use super::tls::TlsStream;

/// The byte stream of one client's connection.
pub enum Transport {
    /// A plain connection.
    Plain {
        /// The socket.
        tcp: TcpStream,
        /// Bytes that were read to detect the protocol. They are read again first.
        read_ahead: Bytes,
    },
    /// A TLS connection.
    Tls(TlsStream),
}

impl Transport {
    /// Returns true if ALPN chose HTTP/2 (RFC 7301).
    pub fn is_http2_negotiated(&self) -> bool {
        match self {
            Self::Plain { .. } => false,
            Self::Tls(tls) => tls.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Returns the server name of the TLS handshake (RFC 6066, 3).
    pub fn server_name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Plain { .. } => None,
            Self::Tls(tls) => tls.server_name(),
        }
    }

    /// Returns true if the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain { read_ahead, .. } if read_ahead.has_remaining() => {
                let part = read_ahead.split_to(read_ahead.len().min(buffer.remaining()));
                buffer.put_slice(&part);
                Poll::Ready(Ok(()))
            }
            Self::Plain { tcp, .. } => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain { tcp, .. } => poll_send(tcp, cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain { tcp, .. } => poll_send_vectored(tcp, cx, parts),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain { tcp, .. } => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain { tcp, .. } => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
