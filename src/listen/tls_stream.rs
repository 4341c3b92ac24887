//! TLS over one connection, by rustls' unbuffered interface: rustls decides what is said, the bytes are ours.
//!
//! What waits to be decrypted, read or sent is held only while it waits: an idle connection has no buffer, where rustls'
//! own keep 4 KiB for input alone. What is written is encrypted into a buffer that all connections of a thread share and
//! goes to the socket at once. Handshakes, alerts, key updates, tickets and TLS 1.2 are rustls' work throughout.
//!
//! What it buys is in benches/README.md.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConnectionData, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection over TLS.
pub struct TlsStream {
    tcp: TcpStream,
    tls: UnbufferedServerConnection,
    /// Received and not yet decrypted: less than a record, or less than a handshake message.
    incoming: Vec<u8>,
    /// Decrypted and not yet read.
    plain: Vec<u8>,
    /// How much of `plain` has been read.
    read: usize,
    /// Encrypted and not yet sent.
    outgoing: Vec<u8>,
    /// How much of `outgoing` has been sent.
    sent: usize,
    /// The client will send no more.
    is_ended: bool,
    /// Our side has said that it will send no more.
    is_closing: bool,
    /// The host name the client asked for (RFC 6066, 3).
    server_name: Option<Arc<str>>,
}

/// Most plaintext in one record (RFC 8446, 5.1), and so the most that one write takes.
const RECORD_BYTES: usize = 16 * 1024;

/// Read from the socket at once.
const READ_BYTES: usize = 16 * 1024;

/// A handshake message may be 64 KiB, in as many records as its sender likes.
const INCOMING_BYTES: usize = 128 * 1024;

/// Answers to a client that does not take them: above this nothing more is read from it.
const OUTGOING_BYTES: usize = 16 * 1024;

thread_local! {
    /// What is being received, and what is being encrypted. Used within one poll, never across two.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    received: Vec<u8>,
    joined: Vec<u8>,
    record: Vec<u8>,
}

impl TlsStream {
    /// Shakes hands. The time for it is the caller's to bound.
    ///
    /// # Errors
    /// What ended the handshake; the client has been told by an alert where it could be.
    pub async fn accept(config: Arc<ServerConfig>, tcp: TcpStream) -> io::Result<Self> {
        // This interface does not tell the name; whoever chooses the certificate is told.
        let asked = Arc::new(Asked { name: OnceLock::new(), resolver: config.cert_resolver.clone() });
        let mut config = ServerConfig::clone(&config);
        config.cert_resolver = asked.clone();
        let mut stream = Self {
            tcp,
            tls: UnbufferedServerConnection::new(Arc::new(config)).map_err(io::Error::other)?,
            incoming: Vec::new(),
            plain: Vec::new(),
            read: 0,
            outgoing: Vec::new(),
            sent: 0,
            is_ended: false,
            is_closing: false,
            server_name: None,
        };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        stream.server_name = asked.name.get().cloned();
        Ok(stream)
    }

    /// The host name the client asked for.
    pub fn server_name(&self) -> Option<&Arc<str>> {
        self.server_name.as_ref()
    }

    /// The protocol agreed on (RFC 7301).
    pub fn protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    /// Bytes of buffers that are held for it now.
    pub fn held(&self) -> usize {
        self.incoming.capacity() + self.plain.capacity() + self.outgoing.capacity()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.is_handshaking() {
            if self.is_ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            ready!(self.poll_receive(cx))?;
        }
        // Our last flight, with the tickets.
        self.poll_send(cx)
    }

    /// Receives and decrypts a piece. `plain` may still be empty afterwards.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A client that waits for our flight, or does not take our answers, is not listened to meanwhile.
        let is_waiting = self.poll_send(cx)?.is_pending();
        if is_waiting && (self.tls.is_handshaking() || self.outgoing.len() - self.sent > OUTGOING_BYTES) {
            return Poll::Pending;
        }
        let received = SCRATCH.with_borrow_mut(|scratch| {
            scratch.received.resize(READ_BYTES, 0);
            let mut buffer = ReadBuf::new(&mut scratch.received);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
            // Behind our own end nobody listens, and rustls must find no error any more: it cannot say so a second time.
            if !self.is_closing {
                self.incoming.extend_from_slice(buffer.filled());
            }
            Poll::Ready(io::Result::Ok(buffer.filled().len()))
        });
        if ready!(received)? == 0 {
            self.is_ended = true;
            return Poll::Ready(Ok(()));
        }
        let mut processed = self.process(|_| Ok(()));
        if processed.is_ok() && self.incoming.len() > INCOMING_BYTES {
            processed = Err(io::ErrorKind::InvalidData.into());
        }
        // Also after an error: it has left an alert.
        let sent = self.poll_send(cx);
        Poll::Ready(processed.and(match sent {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }))
    }

    /// Has rustls look at everything that was received; then `write` may write.
    fn process(
        &mut self,
        mut write: impl FnMut(WriteTraffic<'_, ServerConnectionData>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut failure = None;
        loop {
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(&mut self.incoming);
            let mut is_done = false;
            match state {
                Ok(ConnectionState::WriteTraffic(traffic)) => {
                    write(traffic)?;
                    is_done = true;
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => is_done = true,
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        discard += record.discard;
                        self.plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.outgoing, |room| match data.encode(room) {
                        Err(EncodeError::InsufficientSize(more)) => Err(Some(more)),
                        other => other.map_err(|_| None),
                    })?;
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
            // After an error only for the alert that tells the client: rustls does not survive being shown more.
            if is_done || (failure.is_some() && !self.tls.wants_write()) {
                break;
            }
        }
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
        let Some(error) = failure else { return Ok(()) };
        // Nothing more is shown to rustls, and nothing more is said than what it left.
        (self.is_ended, self.is_closing) = (true, true);
        Err(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Sends what has been encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outgoing.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.sent < self.outgoing.len() {
            let count = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.outgoing[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        (self.outgoing, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Encrypts one record and sends it; what the socket does not take is kept. Nothing may be waiting to be sent.
    fn write_record(&mut self, cx: &mut Context<'_>, bytes: &[u8], record: &mut Vec<u8>) -> io::Result<()> {
        let mut length = None;
        self.process(|mut traffic| {
            length = Some(seal(record, |room| traffic.encrypt(bytes, room))?);
            Ok(())
        })?;
        let length = length.ok_or(io::ErrorKind::BrokenPipe)?;
        // rustls had something to say first.
        if !self.outgoing.is_empty() {
            self.outgoing.extend_from_slice(&record[..length]);
            return match self.poll_send(cx) {
                Poll::Ready(sent) => sent,
                Poll::Pending => Ok(()),
            };
        }
        let sent = match Pin::new(&mut self.tcp).poll_write(cx, &record[..length]) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        if sent < length {
            self.outgoing.extend_from_slice(&record[sent..length]);
        }
        Ok(())
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.plain.is_empty() && !this.is_ended {
            ready!(this.poll_receive(cx))?;
        }
        let unread = &this.plain[this.read..];
        let count = unread.len().min(buffer.remaining());
        buffer.put_slice(&unread[..count]);
        this.read += count;
        if this.read == this.plain.len() {
            (this.plain, this.read) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        if this.is_closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        SCRATCH.with_borrow_mut(|Scratch { joined, record, .. }| {
            let bytes = match parts {
                [] => return Poll::Ready(Ok(0)),
                [part] => &part[..part.len().min(RECORD_BYTES)],
                parts => {
                    joined.clear();
                    for part in parts {
                        joined.extend_from_slice(&part[..part.len().min(RECORD_BYTES - joined.len())]);
                    }
                    &joined[..]
                }
            };
            this.write_record(cx, bytes, record)?;
            Poll::Ready(Ok(bytes.len()))
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_closing {
            this.is_closing = true;
            let mut notice = Vec::new();
            this.process(|mut traffic| {
                let length = seal(&mut notice, |room| traffic.queue_close_notify(room))?;
                notice.truncate(length);
                Ok(())
            })?;
            this.outgoing.append(&mut notice);
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
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

/// Encrypts into `record`, which only ever grows; how long it is.
fn seal(record: &mut Vec<u8>, mut encrypt: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>) -> io::Result<usize> {
    loop {
        match encrypt(record) {
            Ok(length) => return Ok(length),
            Err(EncryptError::InsufficientSize(more)) => record.resize(more.required_size, 0),
            Err(EncryptError::EncryptExhausted) => return Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// Appends what is encoded; an error without a size is one of ours.
fn append(
    outgoing: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> io::Result<()> {
    let start = outgoing.len();
    loop {
        match encode(&mut outgoing[start..]) {
            Ok(length) => {
                outgoing.truncate(start + length);
                return Ok(());
            }
            Err(Some(more)) => outgoing.resize(start + more.required_size, 0),
            Err(None) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests;
