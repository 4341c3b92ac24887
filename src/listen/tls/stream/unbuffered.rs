//! rustls' unbuffered connection and the buffers that it works on.
//!
//! rustls does everything of TLS: the handshake, the sequence numbers and nonces, encryption and decryption, key updates,
//! tickets and alerts. This file moves bytes between its states and the buffers, and does no I/O.
//!
//! Two rules keep rustls from panicking. `incoming` loses only what rustls has processed, because rustls keeps positions
//! of an incomplete handshake message in it. And after an error rustls is asked only for the alert that it has queued: it
//! could find a second error in further input, and two fatal alerts are a defect to it.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};

/// A rustls connection with its buffers. A buffer has memory only while it has bytes.
///
/// The field order is the memory layout, as in [`TlsStream`](super::TlsStream).
#[repr(C)]
pub(super) struct UnbufferedTls {
    /// Encrypted bytes to be sent.
    pub outgoing: Vec<u8>,
    /// Whether our side has sent its closing alert or a fatal one.
    pub is_write_closed: bool,
    /// Whether the client has closed its side, or an error has ended the connection.
    pub is_read_closed: bool,
    /// Received bytes that are not processed: less than a record, or parts of a handshake message.
    pub incoming: Vec<u8>,
    /// Decrypted bytes.
    pub plaintext: Vec<u8>,
    connection: UnbufferedServerConnection,
}

/// Most unprocessed bytes of a handshake. A handshake message may have 64 KiB, in any number of records.
const HANDSHAKE_BYTES: usize = 128 * 1024;

/// Most unprocessed bytes after the handshake. A record has at most 18 KiB (RFC 5246, 6.2.3), and the only handshake
/// message that a client may send then has 5 bytes (RFC 8446, 4.6.3).
const INCOMING_BYTES: usize = 32 * 1024;

impl UnbufferedTls {
    /// Creates a connection whose handshake has not begun.
    ///
    /// # Errors
    /// Returns rustls' error if it cannot use the configuration.
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            outgoing: Vec::new(),
            is_write_closed: false,
            is_read_closed: false,
            incoming: Vec::new(),
            plaintext: Vec::new(),
            connection: UnbufferedServerConnection::new(config)?,
        })
    }

    /// Returns true until the handshake is complete.
    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Returns the protocol that ALPN chose (RFC 7301).
    pub(super) fn alpn_protocol(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Processes received bytes. Appends decrypted data to `plaintext` and replies to `outgoing`.
    ///
    /// Input after an end of either side is discarded: after the client's closing alert (RFC 8446, 6.1), and after ours,
    /// when nobody reads on.
    ///
    /// # Errors
    /// The client violated TLS, or ended the connection with an alert. Both sides are closed then.
    pub(super) fn receive(&mut self, received: &[u8]) -> io::Result<()> {
        if self.is_read_closed || self.is_write_closed {
            return Ok(());
        }
        self.incoming.extend_from_slice(received);
        self.process(|_| Ok(()))?;
        let bound = if self.is_handshaking() { HANDSHAKE_BYTES } else { INCOMING_BYTES };
        if self.incoming.len() > bound {
            self.close_both();
            return Err(invalid(format!("the client sent more than {bound} bytes of an incomplete message")));
        }
        Ok(())
    }

    /// Encrypts data into `record`, which only grows, and returns the length. What is in `outgoing` must be sent first.
    ///
    /// # Errors
    /// The connection is closed, or its key may encrypt no more and cannot be updated, because TLS 1.2 has no key update.
    pub(super) fn encrypt(&mut self, data: &[u8], record: &mut Vec<u8>) -> io::Result<usize> {
        if self.is_write_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut encrypted = None;
        self.process(|mut traffic| {
            encrypted = Some(fill(record, |room| traffic.encrypt(data, room))?);
            Ok(())
        })?;
        encrypted.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    /// Closes our side. Appends the closing alert to `outgoing`.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub(super) fn close(&mut self) -> io::Result<()> {
        if self.is_write_closed {
            return Ok(());
        }
        let mut alert = Vec::new();
        self.process(|mut traffic| {
            let length = fill(&mut alert, |room| traffic.queue_close_notify(room))?;
            alert.truncate(length);
            Ok(())
        })?;
        self.is_write_closed = true;
        self.incoming = Vec::new();
        self.outgoing.append(&mut alert);
        Ok(())
    }

    /// Has rustls process `incoming`, and then calls `write` if data may be written.
    fn process(
        &mut self,
        write: impl FnOnce(WriteTraffic<'_, ServerConnectionData>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut processed = 0;
        let outcome = 'processing: loop {
            let unprocessed = &mut self.incoming[processed..];
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(unprocessed);
            processed += discard;
            match state {
                Ok(ConnectionState::WriteTraffic(traffic)) => break write(traffic),
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => break Ok(()),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                processed += record.discard;
                                self.plaintext.extend_from_slice(record.payload);
                            }
                            Err(error) => break 'processing Err(invalid(error)),
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                // Sending is the caller's part.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => {
                    self.is_read_closed = true;
                    // rustls ignores what follows (RFC 8446, 6.1).
                    processed = self.incoming.len();
                }
                // Early data is off, and no other state was asked for.
                Ok(_) => break Err(io::ErrorKind::Unsupported.into()),
                Err(error) => break Err(invalid(error)),
            }
        };
        if outcome.is_err() {
            self.close_both();
        } else if processed == self.incoming.len() {
            self.incoming = Vec::new();
        } else if processed > 0 {
            // A new vector, because the old one may be as large as all that was received.
            self.incoming = self.incoming.split_off(processed);
        }
        outcome
    }

    /// Closes both sides after an error. Appends the alert that rustls has queued to `outgoing`.
    fn close_both(&mut self) {
        (self.is_read_closed, self.is_write_closed) = (true, true);
        self.incoming = Vec::new();
        while self.connection.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(data)) = self.connection.process_tls_records(&mut []).state
        {
            encode(data, &mut self.outgoing);
        }
    }
}

fn invalid(error: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Appends what rustls has to send.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Vec<u8>) {
    let start = outgoing.len();
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        outgoing.resize(start + needed.required_size, 0);
        let encoded = data.encode(&mut outgoing[start..]);
        // It has the size that it asked for.
        outgoing.truncate(start + encoded.unwrap_or_default());
    }
}

/// Encrypts into the front of `record`, which only grows. Returns the length.
fn fill(record: &mut Vec<u8>, mut encrypt: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>) -> io::Result<usize> {
    loop {
        match encrypt(record) {
            Ok(length) => return Ok(length),
            Err(EncryptError::InsufficientSize(needed)) => record.resize(needed.required_size, 0),
            Err(error @ EncryptError::EncryptExhausted) => {
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, error));
            }
        }
    }
}
