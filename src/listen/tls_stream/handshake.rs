//! The handshake, by rustls' unbuffered interface: rustls decides what is said, the bytes are ours.
//!
//! Ends with nothing of the client's half read, so that its next byte begins a record.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::records::Records;

/// What came of a handshake.
pub struct Shaken {
    /// The keys.
    pub records: Records,
    /// What the client has said already.
    pub plain: Vec<u8>,
    /// Whether it will say no more.
    pub is_ended: bool,
    /// The protocol agreed on (RFC 7301).
    pub protocol: Option<Vec<u8>>,
    /// The host name the client asked for (RFC 6066, 3).
    pub server_name: Option<Arc<str>>,
}

/// A handshake message may be 64 KiB, in as many records as its sender likes.
const INCOMING_BYTES: usize = 128 * 1024;

/// Shakes hands. The time for it is the caller's to bound.
///
/// # Errors
/// What ended the handshake; the client has been told by an alert where it could be.
pub async fn shake(config: &ServerConfig, tcp: &mut TcpStream) -> io::Result<Shaken> {
    // This interface does not tell the name; whoever chooses the certificate is told.
    let asked = Arc::new(Asked { name: OnceLock::new(), resolver: config.cert_resolver.clone() });
    let mut config = ServerConfig::clone(config);
    config.cert_resolver = asked.clone();
    config.enable_secret_extraction = true;
    let mut hands = Hands {
        tls: UnbufferedServerConnection::new(Arc::new(config)).map_err(io::Error::other)?,
        incoming: Vec::new(),
        outgoing: Vec::new(),
        plain: Vec::new(),
        is_ended: false,
    };
    loop {
        let shaken = hands.process();
        // Also after an error: it has left an alert.
        tcp.write_all(&std::mem::take(&mut hands.outgoing)).await?;
        if shaken? {
            break;
        }
        if hands.incoming.len() > INCOMING_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if tcp.read_buf(&mut hands.incoming).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let protocol = hands.tls.alpn_protocol().map(<[u8]>::to_vec);
    let records = Records::after(hands.tls).map_err(io::Error::other)?;
    let server_name = asked.name.get().cloned();
    Ok(Shaken { records, plain: hands.plain, is_ended: hands.is_ended, protocol, server_name })
}

struct Hands {
    tls: UnbufferedServerConnection,
    /// Received and not yet understood: less than a record, or less than a message.
    incoming: Vec<u8>,
    /// To be sent.
    outgoing: Vec<u8>,
    /// Said behind the handshake.
    plain: Vec<u8>,
    is_ended: bool,
}

impl Hands {
    /// Has rustls look at everything that was received. Whether hands are shaken, and nothing is half read.
    fn process(&mut self) -> io::Result<bool> {
        let mut failure = None;
        loop {
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(&mut self.incoming);
            let mut shaken = None;
            match state {
                Ok(ConnectionState::WriteTraffic(_)) => shaken = Some(true),
                Ok(ConnectionState::BlockedHandshake) => shaken = Some(false),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        discard += record.discard;
                        self.plain.extend_from_slice(record.payload);
                    }
                }
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
                Ok(ConnectionState::PeerClosed) => self.is_ended = true,
                // Early data is off; whatever else there may be one day was not asked for either.
                Ok(_) => return Err(io::ErrorKind::Unsupported.into()),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
            self.incoming.drain(..discard);
            match (shaken, &failure) {
                (Some(is_shaken), None) => return Ok(is_shaken && self.incoming.is_empty()),
                // After an error only for the alert that tells the client: rustls does not survive being shown more.
                (_, Some(_)) if !self.tls.wants_write() => break,
                _ => {}
            }
        }
        Err(failure.map_or_else(
            || io::ErrorKind::InvalidData.into(),
            |error| io::Error::new(io::ErrorKind::InvalidData, error),
        ))
    }
}

/// Notes the name that one client asks for.
#[derive(Debug)]
struct Asked {
    name: OnceLock<Arc<str>>,
    resolver: Arc<dyn ResolvesServerCert>,
}

impl ResolvesServerCert for Asked {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = hello.server_name() {
            self.name.get_or_init(|| name.into());
        }
        self.resolver.resolve(hello)
    }
}
