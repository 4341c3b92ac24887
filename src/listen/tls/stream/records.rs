//! TLS records after the handshake: sequence numbers, encryption, decryption and key updates.
//!
//! After the handshake rustls hands out the traffic secrets through its interface for kernel TLS. Its ciphers still do
//! all cryptography, and it derives the keys of key updates. The rest happens here:
//!
//! - Each record gets the next sequence number of its direction, from which the cipher forms the nonce (RFC 8446, 5.3).
//!   A number is used once for each key.
//! - Records are told apart by their type.
//! - Keys are updated on the client's request (RFC 8446, 4.6.3), and before ours reach the cipher's confidentiality
//!   limit (5.5).
//!
//! This file does no I/O.

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{AlertDescription, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite};

/// The record state of both directions of a connection.
///
/// The field order is the memory layout, as in [`TlsStream`](super::TlsStream).
#[repr(C)]
pub(super) struct Records {
    encrypter: Box<dyn MessageEncrypter>,
    /// The sequence number of our next record. It never repeats or goes back under the same key.
    next_seq: u64,
    /// The number of records that our key may encrypt.
    max_seq: u64,
    /// Consecutive records without data, since either side last sent data.
    empty_records: u8,
    /// The cipher of the client's records, and the sequence number of the next.
    decrypter: (Box<dyn MessageDecrypter>, u64),
    /// The beginning of a handshake message whose rest has not arrived.
    partial_message: Vec<u8>,
    kernel: Box<KernelConnection<ServerConnectionData>>,
}

/// The content of a client's record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OpenedRecord<'a> {
    /// Application data.
    Data(&'a [u8]),
    /// Nothing for the reader.
    Empty,
    /// The client will send no more data.
    CloseNotify,
}

/// The errors that end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    /// The client violated the protocol. It is sent this alert.
    #[error("the client violated TLS: {0:?}")]
    Client(AlertDescription),
    /// The client ended the connection with this alert.
    #[error("the client sent an alert: {0:?}")]
    PeerAlert(AlertDescription),
    /// Our key has reached its limit and cannot be updated, because TLS 1.2 has no key update.
    #[error("the connection has reached the limit of its key")]
    KeysExhausted,
}

/// Length of a record header: type, version and length (RFC 8446, 5.1).
const HEADER_BYTES: usize = 5;

/// Most bytes after the header: 16 KiB and the overhead of encryption (RFC 5246, 6.2.3; RFC 8446, 5.2 allows less).
const MAX_PAYLOAD_BYTES: usize = 16 * 1024 + 2048;

/// Most consecutive records without data: key updates, warnings and empty records.
const MAX_EMPTY_RECORDS: u8 = 32;

/// A KeyUpdate message without its last byte, which requests the same of the other side (RFC 8446, 4.6.3).
const KEY_UPDATE_PREFIX: [u8; 4] = [24, 0, 0, 1];

const CLIENT_HELLO: u8 = 1;

const WARNING: u8 = 1;
const FATAL: u8 = 2;

impl Records {
    /// Takes over from rustls when the handshake is complete and rustls has nothing left to send.
    ///
    /// # Errors
    /// Returns rustls' error if it does not hand out its secrets.
    pub(super) fn from_handshake(handshake: UnbufferedServerConnection) -> Result<Self, Error> {
        let (secrets, kernel) = handshake.dangerous_into_kernel_connection()?;
        let suite = kernel.negotiated_cipher_suite();
        let (next_seq, write_secrets) = secrets.tx;
        let (read_seq, read_secrets) = secrets.rx;
        Ok(Self {
            encrypter: encrypter(suite, write_secrets, next_seq)?,
            next_seq,
            max_seq: confidentiality_limit(suite),
            empty_records: 0,
            decrypter: (decrypter(suite, read_secrets)?, read_seq),
            partial_message: Vec::new(),
            kernel: Box::new(kernel),
        })
    }

    /// Returns the length of the first record if it is complete, and `None` otherwise.
    ///
    /// # Errors
    /// Returns an error if its header is invalid or its type cannot occur now.
    pub(super) fn record_len(&self, received: &[u8]) -> Result<Option<usize>, RecordError> {
        // In TLS 1.3 all records after the handshake have the type of application data. TLS 1.2 shows the real type.
        let is_expected = |typ| typ == ContentType::ApplicationData || !self.is_tls13() && is_known(typ);
        record_len(received, is_expected)
    }

    /// Decrypts one record of [`record_len`](Self::record_len) bytes. Appends records that reply to it to `replies`.
    ///
    /// # Errors
    /// See [`RecordError`]. Decrypt nothing more after an error.
    pub(super) fn decrypt<'a>(
        &mut self,
        record: &'a mut [u8],
        replies: &mut Vec<u8>,
    ) -> Result<OpenedRecord<'a>, RecordError> {
        let (header, payload) = record.split_at_mut(HEADER_BYTES);
        let (typ, version) = (ContentType::from(header[0]), u16::from_be_bytes([header[1], header[2]]));
        let (decrypter, read_seq) = &mut self.decrypter;
        let message = InboundOpaqueMessage::new(typ, ProtocolVersion::from(version), payload);
        let message =
            decrypter.decrypt(message, *read_seq).map_err(|error| RecordError::Client(decryption_alert(&error)))?;
        *read_seq += 1;
        // No other record may come between the parts of a handshake message (RFC 8446, 5.1).
        if !self.partial_message.is_empty() && message.typ != ContentType::Handshake {
            return Err(RecordError::Client(AlertDescription::UnexpectedMessage));
        }
        match message.typ {
            ContentType::ApplicationData if !message.payload.is_empty() => {
                self.empty_records = 0;
                return Ok(OpenedRecord::Data(message.payload));
            }
            ContentType::ApplicationData => {}
            ContentType::Alert => {
                if self.is_close_notify(message.payload)? {
                    return Ok(OpenedRecord::CloseNotify);
                }
            }
            ContentType::Handshake => self.on_handshake_message(message.payload, replies)?,
            ContentType::ChangeCipherSpec | ContentType::Heartbeat | ContentType::Unknown(_) | _ => {
                return Err(RecordError::Client(AlertDescription::UnexpectedMessage));
            }
        }
        self.empty_records += 1;
        match self.empty_records {
            ..=MAX_EMPTY_RECORDS => Ok(OpenedRecord::Empty),
            _ => Err(RecordError::Client(AlertDescription::UnexpectedMessage)),
        }
    }

    /// Returns true if the alert closes the client's side, and false if it is a warning (RFC 8446, 6; RFC 5246, 7.2).
    fn is_close_notify(&self, alert: &[u8]) -> Result<bool, RecordError> {
        let &[level, description] = alert else {
            return Err(RecordError::Client(AlertDescription::DecodeError));
        };
        let description = AlertDescription::from(description);
        if description == AlertDescription::CloseNotify {
            return Ok(true);
        }
        // In TLS 1.3 the other alerts are fatal, whatever their level.
        let may_be_warning = !self.is_tls13() || description == AlertDescription::UserCanceled;
        if level == WARNING && may_be_warning { Ok(false) } else { Err(RecordError::PeerAlert(description)) }
    }

    /// Processes a handshake message. Only KeyUpdate is allowed after the handshake.
    ///
    /// TLS 1.2 has no key update. A client that tries to renegotiate gets a warning (RFC 5246, 7.2.2).
    fn on_handshake_message(&mut self, part: &[u8], replies: &mut Vec<u8>) -> Result<(), RecordError> {
        if !self.is_tls13() && part.first() == Some(&CLIENT_HELLO) {
            replies.extend(self.record(ContentType::Alert, &[WARNING, AlertDescription::NoRenegotiation.into()])?);
            return Ok(());
        }
        if !self.is_tls13() || part.is_empty() {
            return Err(RecordError::Client(AlertDescription::UnexpectedMessage));
        }
        self.partial_message.extend_from_slice(part);
        match self.partial_message.strip_prefix(&KEY_UPDATE_PREFIX) {
            Some(&[is_reply_requested @ (0 | 1)]) => {
                self.partial_message = Vec::new();
                self.decrypter = self
                    .kernel
                    .update_rx_secret()
                    .and_then(|(read_seq, secrets)| {
                        Ok((decrypter(self.kernel.negotiated_cipher_suite(), secrets)?, read_seq))
                    })
                    .map_err(|_| RecordError::Client(AlertDescription::InternalError))?;
                if is_reply_requested == 1 { self.update_write_key(replies) } else { Ok(()) }
            }
            Some([_]) => Err(RecordError::Client(AlertDescription::IllegalParameter)),
            _ if KEY_UPDATE_PREFIX.starts_with(&self.partial_message) => Ok(()),
            _ => Err(RecordError::Client(AlertDescription::UnexpectedMessage)),
        }
    }

    /// Updates our key. Appends the record that announces it to `replies`.
    fn update_write_key(&mut self, replies: &mut Vec<u8>) -> Result<(), RecordError> {
        let [a, b, c, d] = KEY_UPDATE_PREFIX;
        replies.extend(self.record(ContentType::Handshake, &[a, b, c, d, 0])?);
        let renewed = self.kernel.update_tx_secret().and_then(|(next_seq, secrets)| {
            Ok((encrypter(self.kernel.negotiated_cipher_suite(), secrets, next_seq)?, next_seq))
        });
        (self.encrypter, self.next_seq) = renewed.map_err(|_| RecordError::KeysExhausted)?;
        Ok(())
    }

    /// Encrypts at most 16 KiB of data. Appends records that must be sent first to `before`.
    ///
    /// # Errors
    /// Returns [`RecordError::KeysExhausted`] if the key can encrypt no more. The connection must be closed then.
    pub(super) fn encrypt(&mut self, data: &[u8], before: &mut Vec<u8>) -> Result<Vec<u8>, RecordError> {
        if self.next_seq >= self.max_seq {
            match self.is_tls13() {
                true => self.update_write_key(before)?,
                false => return Err(RecordError::KeysExhausted),
            }
        }
        self.empty_records = 0;
        self.record(ContentType::ApplicationData, data)
    }

    /// Returns the alert that closes our side: for an error, or for a clean end.
    pub(super) fn closing_alert(&mut self, error: Option<RecordError>) -> Vec<u8> {
        let alert = match error {
            Some(RecordError::Client(description)) => [FATAL, description.into()],
            Some(RecordError::PeerAlert(_)) => return Vec::new(),
            Some(RecordError::KeysExhausted) | None => [WARNING, AlertDescription::CloseNotify.into()],
        };
        self.record(ContentType::Alert, &alert).unwrap_or_default()
    }

    fn record(&mut self, typ: ContentType, payload: &[u8]) -> Result<Vec<u8>, RecordError> {
        let message = plaintext(typ, payload);
        let encrypted = self.encrypter.encrypt(message, self.next_seq).map_err(|_| RecordError::KeysExhausted)?;
        self.next_seq += 1;
        Ok(encrypted.encode())
    }

    fn is_tls13(&self) -> bool {
        self.kernel.protocol_version() == ProtocolVersion::TLSv1_3
    }
}

/// Returns the alert for a record that cannot be decrypted.
#[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds errors; each that is not listed is a bad record")]
fn decryption_alert(error: &Error) -> AlertDescription {
    match error {
        Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
        Error::PeerMisbehaved(_) => AlertDescription::UnexpectedMessage,
        _ => AlertDescription::BadRecordMac,
    }
}

/// Returns the length of the first record if it is complete, and `None` otherwise.
///
/// # Errors
/// Returns an error if its header is invalid or its type is not expected.
pub(super) fn record_len(
    received: &[u8],
    is_expected: impl Fn(ContentType) -> bool,
) -> Result<Option<usize>, RecordError> {
    let [typ, major, _, high, low, ..] = *received else { return Ok(None) };
    if !is_expected(ContentType::from(typ)) || major != 3 {
        return Err(RecordError::Client(AlertDescription::UnexpectedMessage));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_PAYLOAD_BYTES {
        return Err(RecordError::Client(AlertDescription::RecordOverflow));
    }
    Ok(Some(HEADER_BYTES + length).filter(|length| *length <= received.len()))
}

/// Returns true if the record type exists.
pub(super) fn is_known(typ: ContentType) -> bool {
    !matches!(typ, ContentType::Unknown(_))
}

/// Creates an unencrypted record. Both TLS versions write version 1.2 here.
pub(super) fn plaintext(typ: ContentType, payload: &[u8]) -> OutboundPlainMessage<'_> {
    OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload: OutboundChunks::Single(payload) }
}

/// Creates the cipher that encrypts records from sequence number `next_seq` on.
pub(super) fn encrypter(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
    next_seq: u64,
) -> Result<Box<dyn MessageEncrypter>, Error> {
    let (key, iv) = key_and_iv(secrets)?;
    let mut encrypter = match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let (fixed, explicit) = iv.as_ref().split_at(suite.aead_alg.key_block_shape().fixed_iv_len);
            suite.aead_alg.encrypter(key, fixed, explicit)
        }
    };
    if next_seq > 0 {
        // The nonce of a record is the IV XOR its sequence number. AWS-LC's TLS AEAD takes the first nonce it sees as
        // that of sequence number 0, derives its mask from it, and requires the numbers to grow. rustls has already
        // used the numbers below `next_seq` with this key, in a cipher of its own. So this new cipher is primed with an
        // empty record under nonce 0.
        //
        // That repeats nonce 0 under the same key, which would break the AEAD if anyone saw both ciphertexts. This one
        // is dropped here and must never leave this function. All records that are sent have numbers from `next_seq`
        // on, so no nonce repeats on the wire.
        encrypter.encrypt(plaintext(ContentType::ApplicationData, &[]), 0)?;
    }
    Ok(encrypter)
}

fn decrypter(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageDecrypter>, Error> {
    let (key, iv) = key_and_iv(secrets)?;
    Ok(match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            suite.aead_alg.decrypter(key, &iv.as_ref()[..suite.aead_alg.key_block_shape().fixed_iv_len])
        }
    })
}

fn key_and_iv(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::General("unknown cipher".to_owned())),
    }
}

/// Returns the number of records that one key may encrypt (RFC 8446, 5.5).
fn confidentiality_limit(suite: SupportedCipherSuite) -> u64 {
    match suite {
        SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
        SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
    }
}
