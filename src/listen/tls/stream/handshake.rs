//! The TLS handshake on rustls' unbuffered interface: rustls decides what to send, and this file does the I/O.
//!
//! rustls gets one record at a time, and none after the handshake is complete. It would consume later records and lose
//! them when the keys are extracted.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::records::{self, Records};

/// The result of a handshake.
pub(super) struct HandshakeOutput {
    /// The keys.
    pub records: Records,
    /// Encrypted bytes that the client sent after the handshake.
    pub incoming: Vec<u8>,
    /// The protocol that ALPN chose (RFC 7301).
    pub alpn_protocol: Option<Vec<u8>>,
    /// The server name that the client sent (RFC 6066, 3).
    pub server_name: Option<Arc<str>>,
}

/// Most buffered bytes of a handshake. A handshake message may have 64 KiB, in any number of records.
const INCOMING_BYTES: usize = 128 * 1024;

/// Bytes that one read takes from the socket. A typical ClientHello fits.
const READ_BYTES: usize = 4096;

/// Performs the handshake. `received` is what the client has sent already. The caller bounds its time.
///
/// # Errors
/// Returns the error that ended the handshake. The client has been sent an alert if that was possible.
pub(super) async fn handshake(
    config: &ServerConfig,
    tcp: &mut TcpStream,
    received: Vec<u8>,
) -> io::Result<HandshakeOutput> {
    // The unbuffered interface does not return the server name, so the certificate resolver captures it.
    let sni = Arc::new(SniCapture { name: OnceLock::new(), resolver: config.cert_resolver.clone() });
    let mut config = ServerConfig::clone(config);
    config.cert_resolver = sni.clone();
    config.enable_secret_extraction = true;
    let mut driver = HandshakeDriver {
        tls: UnbufferedServerConnection::new(Arc::new(config)).map_err(io::Error::other)?,
        incoming: received,
        visible: 0,
        outgoing: Vec::new(),
    };
    loop {
        let state_reached = driver.process();
        // Send also after an error, because rustls has then produced an alert.
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
    /// Received bytes that rustls has not processed.
    incoming: Vec<u8>,
    /// The part of `incoming` that rustls may see.
    visible: usize,
    /// Bytes to be sent.
    outgoing: Vec<u8>,
}

impl HandshakeDriver {
    /// Shows rustls one more whole record, if there is one. Bytes that are not a record are shown at once, so that
    /// rustls refuses them.
    fn feed_record(&mut self) -> bool {
        let rest = &self.incoming[self.visible..];
        self.visible += match records::record_len(rest, records::is_known) {
            Ok(Some(length)) => length,
            Ok(None) => return false,
            Err(_) => rest.len(),
        };
        true
    }

    /// Lets rustls process the visible records. Returns true if the handshake is complete.
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
                // Sending is the caller's part.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                // Early data is off, and neither application data nor an end is expected during a handshake.
                Ok(_) => return Err(io::ErrorKind::Unsupported.into()),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
            self.incoming.drain(..discard);
            self.visible -= discard;
            // After an error rustls is only asked for its alert. It must not get more input then.
            if let Some(error) = failure.take_if(|_| !self.tls.wants_write()) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            if let (Some(is_complete), None) = (state_reached, &failure) {
                return Ok(is_complete);
            }
        }
    }
}

/// Captures the server name of one client.
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
