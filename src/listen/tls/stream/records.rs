//! TLS records once hands are shaken: numbered, sealed and opened.
//!
//! rustls shakes hands and then gives its keys away, by its interface for those who have the kernel encrypt. Its ciphers
//! do all cryptography, and new keys come from it too. What is left, and done here: records are numbered (RFC 8446, 5.3),
//! told apart by their type, and keys are renewed when the client asks for it (4.6.3) or ours have been used often enough
//! (5.5). Does not know about sockets.

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{AlertDescription, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite};

/// Both directions of one connection.
///
/// In this order, as in [`TlsStream`](super::TlsStream).
#[repr(C)]
pub struct Records {
    encrypter: Box<dyn MessageEncrypter>,
    /// The number of our next record.
    next_seq: u64,
    /// How many records our keys are good for.
    max_seq: u64,
    /// Records in a row that brought nothing, since either side last said something.
    empty_records: u8,
    /// What the client's records are opened with, and the number of the next.
    decrypter: (Box<dyn MessageDecrypter>, u64),
    /// A handshake message of which the end has not come yet.
    partial_message: Vec<u8>,
    kernel: Box<KernelConnection<ServerConnectionData>>,
}

/// What a record of the client's brought.
#[derive(Debug, PartialEq, Eq)]
pub enum OpenedRecord<'a> {
    /// This.
    Data(&'a [u8]),
    /// Nothing for us to read.
    Empty,
    /// That the client will say no more.
    CloseNotify,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The client does not speak TLS as it has to. It is told by this alert.
    #[error("the client broke TLS: {0:?}")]
    Client(AlertDescription),
    /// The client has ended it by this alert.
    #[error("the client gave up: {0:?}")]
    PeerAlert(AlertDescription),
    /// Our keys have been used up and cannot be renewed, which TLS 1.2 has no way to.
    #[error("the connection's keys are used up")]
    KeysExhausted,
}

/// Type, version and length (RFC 8446, 5.1).
const HEADER_BYTES: usize = 5;

/// Most that may follow the header: 16 KiB and what encryption adds (RFC 5246, 6.2.3; RFC 8446, 5.2, has less).
const MAX_PAYLOAD_BYTES: usize = 16 * 1024 + 2048;

/// How often in a row a client may update its keys, warn of something or send an empty record, and say nothing.
const MAX_EMPTY_RECORDS: u8 = 32;

/// A message that updates keys, without its last byte: whether the other side is to do so too (RFC 8446, 4.6.3).
const KEY_UPDATE_PREFIX: [u8; 4] = [24, 0, 0, 1];

const CLIENT_HELLO: u8 = 1;

const WARNING: u8 = 1;
const FATAL: u8 = 2;

impl Records {
    /// Takes over when rustls has shaken hands and has nothing more to say.
    ///
    /// # Errors
    /// rustls does not give its keys.
    pub fn from_handshake(handshake: UnbufferedServerConnection) -> Result<Self, Error> {
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

    /// How long the first record is, if it is all there.
    ///
    /// # Errors
    /// It is no record that may come now, which its header tells.
    pub fn record_len(&self, received: &[u8]) -> Result<Option<usize>, RecordError> {
        // What is encrypted in TLS 1.3 does not tell its type; the time for what is not is over.
        let is_expected = |typ| typ == ContentType::ApplicationData || !self.is_tls13() && is_known(typ);
        record_len(received, is_expected)
    }

    /// Opens one record of the client's, [`record_len`](Self::record_len). What it is to be answered by itself is added to `replies`.
    ///
    /// # Errors
    /// See [`RecordError`]; nothing more is to be opened then.
    pub fn decrypt<'a>(
        &mut self,
        record: &'a mut [u8],
        replies: &mut Vec<u8>,
    ) -> Result<OpenedRecord<'a>, RecordError> {
        let (header, payload) = record.split_at_mut(HEADER_BYTES);
        let (typ, version) = (ContentType::from(header[0]), u16::from_be_bytes([header[1], header[2]]));
        let (decrypter, read_seq) = &mut self.decrypter;
        let message = InboundOpaqueMessage::new(typ, ProtocolVersion::from(version), payload);
        let message = decrypter.decrypt(message, *read_seq).map_err(|error| {
            RecordError::Client(match error {
                Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
                Error::PeerMisbehaved(_) => AlertDescription::UnexpectedMessage,
                _ => AlertDescription::BadRecordMac,
            })
        })?;
        *read_seq += 1;
        // Messages must not be interleaved (RFC 8446, 5.1).
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
            _ => return Err(RecordError::Client(AlertDescription::UnexpectedMessage)),
        }
        self.empty_records += 1;
        match self.empty_records {
            ..=MAX_EMPTY_RECORDS => Ok(OpenedRecord::Empty),
            _ => Err(RecordError::Client(AlertDescription::UnexpectedMessage)),
        }
    }

    /// Whether an alert is the announced end, and no warning (RFC 8446, 6; RFC 5246, 7.2).
    fn is_close_notify(&self, alert: &[u8]) -> Result<bool, RecordError> {
        let &[level, description] = alert else {
            return Err(RecordError::Client(AlertDescription::DecodeError));
        };
        match AlertDescription::from(description) {
            AlertDescription::CloseNotify => Ok(true),
            AlertDescription::UserCanceled if level == WARNING => Ok(false),
            _ if level == WARNING && !self.is_tls13() => Ok(false),
            description => Err(RecordError::PeerAlert(description)),
        }
    }

    /// Of handshakes nothing may come any more but updates of keys. TLS 1.2 has none, and a client that wants to begin anew
    /// is told that it cannot (RFC 5246, 7.2.2).
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

    /// Renews our keys. The client is told by a record that is added to `replies`.
    fn update_write_key(&mut self, replies: &mut Vec<u8>) -> Result<(), RecordError> {
        let [a, b, c, d] = KEY_UPDATE_PREFIX;
        replies.extend(self.record(ContentType::Handshake, &[a, b, c, d, 0])?);
        let renewed = self.kernel.update_tx_secret().and_then(|(next_seq, secrets)| {
            Ok((encrypter(self.kernel.negotiated_cipher_suite(), secrets, next_seq)?, next_seq))
        });
        (self.encrypter, self.next_seq) = renewed.map_err(|_| RecordError::KeysExhausted)?;
        Ok(())
    }

    /// Seals data, of at most 16 KiB. What has to go out before is added to `before`.
    ///
    /// # Errors
    /// The keys are used up; the client is to be told of an end.
    pub fn encrypt(&mut self, data: &[u8], before: &mut Vec<u8>) -> Result<Vec<u8>, RecordError> {
        if self.next_seq >= self.max_seq {
            match self.is_tls13() {
                true => self.update_write_key(before)?,
                false => return Err(RecordError::KeysExhausted),
            }
        }
        self.empty_records = 0;
        self.record(ContentType::ApplicationData, data)
    }

    /// The record that tells the client of an end: of a fault, or of one in peace.
    pub fn closing_alert(&mut self, error: Option<RecordError>) -> Vec<u8> {
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

/// How long the first record is, if it is all there.
///
/// # Errors
/// Its header is that of no record, or of none with an expected type.
pub fn record_len(received: &[u8], is_expected: impl Fn(ContentType) -> bool) -> Result<Option<usize>, RecordError> {
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

/// Whether records may have this type at all.
pub fn is_known(typ: ContentType) -> bool {
    !matches!(typ, ContentType::Unknown(_))
}

/// A record of ours. Both versions call themselves 1.2 there.
pub(super) fn plaintext(typ: ContentType, payload: &[u8]) -> OutboundPlainMessage<'_> {
    OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload: OutboundChunks::Single(payload) }
}

/// A cipher for records from this number on.
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
        // It takes the first nonce it sees for that of the record 0, and refuses what does not grow from there. Here that
        // record was another cipher's, so this one is shown it now; nobody gets what comes of it.
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
        _ => Err(Error::General("a encrypter that is not known here".to_owned())),
    }
}

/// How many records may be encrypted with the same keys (RFC 8446, 5.5).
fn confidentiality_limit(suite: SupportedCipherSuite) -> u64 {
    match suite {
        SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
        SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
    }
}
