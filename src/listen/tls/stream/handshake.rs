//! The handshake, by rustls' unbuffered interface: rustls decides what is said, the bytes are ours.
//!
//! rustls is shown one record more at a time, and none once hands are shaken: what it would read or answer behind that
//! would be lost with it.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::records::{self, Records};

/// What came of a handshake.
pub struct HandshakeOutput {
    /// The keys.
    pub records: Records,
    /// What has come from the client behind it, encrypted.
    pub incoming: Vec<u8>,
    /// The protocol agreed on (RFC 7301).
    pub alpn_protocol: Option<Vec<u8>>,
    /// The host name the client asked for (RFC 6066, 3).
    pub server_name: Option<Arc<str>>,
}

/// A handshake message may be 64 KiB, in as many records as its sender likes.
const INCOMING_BYTES: usize = 128 * 1024;

/// Read from the socket at once: a whole ClientHello, as they are today.
const READ_BYTES: usize = 4096;

/// Shakes hands. The time for it is the caller's to bound.
///
/// # Errors
/// What ended the handshake; the client has been told by an alert where it could be.
pub async fn handshake(config: &ServerConfig, tcp: &mut TcpStream) -> io::Result<HandshakeOutput> {
    // This interface does not tell the name; whoever chooses the certificate is told.
    let sni = Arc::new(SniCapture { name: OnceLock::new(), resolver: config.cert_resolver.clone() });
    let mut config = ServerConfig::clone(config);
    config.cert_resolver = sni.clone();
    config.enable_secret_extraction = true;
    let mut driver = HandshakeDriver {
        tls: UnbufferedServerConnection::new(Arc::new(config)).map_err(io::Error::other)?,
        incoming: Vec::new(),
        visible: 0,
        outgoing: Vec::new(),
    };
    loop {
        let state_reached = driver.process();
        // Also after an error: it has left an alert.
        tcp.write_all(&std::mem::take(&mut driver.outgoing)).await?;
        if state_reached? {
            break;
        }
        if driver.feed_record() {
            continue;
        }
        if driver.incoming.len() > INCOMING_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        driver.incoming.reserve(READ_BYTES);
        if tcp.read_buf(&mut driver.incoming).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let alpn_protocol = driver.tls.alpn_protocol().map(<[u8]>::to_vec);
    let records = Records::from_handshake(driver.tls).map_err(io::Error::other)?;
    let server_name = sni.name.get().cloned();
    Ok(HandshakeOutput { records, incoming: driver.incoming, alpn_protocol, server_name })
}

struct HandshakeDriver {
    tls: UnbufferedServerConnection,
    /// Received and not yet understood.
    incoming: Vec<u8>,
    /// How much of `incoming` rustls may look at.
    visible: usize,
    /// To be sent.
    outgoing: Vec<u8>,
}

impl HandshakeDriver {
    /// Shows one whole record more, if there is one. What looks like none is for rustls to refuse at once.
    fn feed_record(&mut self) -> bool {
        let rest = &self.incoming[self.visible..];
        self.visible += match records::record_len(rest, records::is_known) {
            Ok(Some(length)) => length,
            Ok(None) => return false,
            Err(_) => rest.len(),
        };
        true
    }

    /// Has rustls look at what it is shown. Whether hands are shaken.
    fn process(&mut self) -> io::Result<bool> {
        let mut failure = None;
        loop {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut self.incoming[..self.visible]);
            let mut state_reached = None;
            match state {
                Ok(ConnectionState::WriteTraffic(_)) => state_reached = Some(true),
                Ok(ConnectionState::BlockedHandshake) => state_reached = Some(false),
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let start = self.outgoing.len();
                    let mut length = data.encode(&mut []);
                    if let Err(EncodeError::InsufficientSize(more)) = length {
                        self.outgoing.resize(start + more.required_size, 0);
                        length = data.encode(&mut self.outgoing[start..]);
                    }
                    self.outgoing.truncate(start + length.map_err(io::Error::other)?);
                }
                // From here on it is for us to send.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                // Early data is off, and data behind the handshake is not shown; an end is none of a handshake.
                Ok(_) => return Err(io::ErrorKind::Unsupported.into()),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
            self.incoming.drain(..discard);
            self.visible -= discard;
            // After an error only for the alert that tells the client: rustls does not survive being shown more.
            if let Some(error) = failure.take_if(|_| !self.tls.wants_write()) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            if let (Some(is_complete), None) = (state_reached, &failure) {
                return Ok(is_complete);
            }
        }
    }
}

/// Notes the name that one client asks for.
#[derive(Debug)]
struct SniCapture {
    name: OnceLock<Arc<str>>,
    resolver: Arc<dyn ResolvesServerCert>,
}

impl ResolvesServerCert for SniCapture {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = hello.server_name() {
            self.name.get_or_init(|| name.into());
        }
        self.resolver.resolve(hello)
    }
}
