//! Reads a client's first message, so that a handshake costs its client something before it costs the gateway.
//!
//! The bytes are parsed on a copy. The handshake parses them again.

use std::future::pending;
use std::io;
use std::sync::Arc;

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The bytes that a client has sent, from its whole ClientHello (RFC 8446, 4.1.2) on.
pub struct ReceivedHello {
    pub(super) tcp: TcpStream,
    pub(super) bytes: Vec<u8>,
    /// The server name that the client sent (RFC 6066, 3). A second ClientHello has the same; rustls refuses another.
    pub(super) server_name: Option<Arc<str>>,
}

/// Most bytes that are received before the handshake: a ClientHello of 16 KiB with the headers of its records. Clients
/// send up to 2 KiB, and more only with a session ticket that holds their certificates.
const MAX_HELLO_BYTES: usize = 18 * 1024;

/// Bytes that one read takes from the socket. A typical ClientHello fits.
const READ_BYTES: usize = 4096;

impl ReceivedHello {
    /// Reads until the ClientHello is complete. The caller bounds its time.
    ///
    /// # Errors
    /// The client sent something else, more than 18 KiB, or left. It has been sent an alert if that was possible.
    pub async fn read(mut tcp: TcpStream) -> io::Result<Self> {
        let mut acceptor = Acceptor::default();
        let mut bytes = Vec::with_capacity(READ_BYTES);
        loop {
            let start = bytes.len();
            if start >= MAX_HELLO_BYTES {
                let reason = format!("the ClientHello has more than {MAX_HELLO_BYTES} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            bytes.reserve(READ_BYTES.min(MAX_HELLO_BYTES - start));
            if (&mut tcp).take((MAX_HELLO_BYTES - start) as u64).read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match accept(&mut acceptor, &bytes[start..]) {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    // rustls' unbuffered connection does not return the name.
                    let server_name = accepted.client_hello().server_name().map(Arc::from);
                    return Ok(Self { tcp, bytes, server_name });
                }
                Err((error, alert)) => {
                    tcp.write_all(&alert).await?;
                    return Err(error);
                }
            }
        }
    }

    /// Waits until the client leaves, and returns the reason. A client that has sent more than 18 KiB is not waited for.
    /// Cancel-safe.
    pub async fn client_left(&mut self) -> io::Error {
        while self.bytes.len() < MAX_HELLO_BYTES {
            self.bytes.reserve(1);
            match self.tcp.read_buf(&mut self.bytes).await {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
        pending().await
    }
}

/// Gives `acceptor` more bytes. Returns the ClientHello if they complete it, and an error with its alert.
fn accept(acceptor: &mut Acceptor, mut bytes: &[u8]) -> Result<Option<Accepted>, (io::Error, Vec<u8>)> {
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes).map_err(|error| (error, Vec::new()))?;
        match acceptor.accept() {
            Ok(None) => {}
            Ok(accepted @ Some(_)) => return Ok(accepted),
            Err((error, mut alert)) => {
                let mut sent = Vec::new();
                // Writing to memory does not fail, and without the alert the connection is closed all the same.
                let _ = alert.write_all(&mut sent);
                return Err((io::Error::new(io::ErrorKind::InvalidData, error), sent));
            }
        }
    }
    Ok(None)
}
