//! TLS over one connection. The client speaks first (`client_hello`), rustls does the handshake (`handshake`), its ciphers encrypt and decrypt (`records`), and
//! this file does the I/O.
//!
//! A buffer exists only while bytes wait to be decrypted, read or sent, so an idle connection has none. rustls' own
//! connection keeps 4 KiB for input alone. Of the handshake only the keys, the means to update them, and a client's
//! certificates are kept. A write is encrypted and sent at once.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub(crate) use self::client_hello::ReceivedHello;
use self::handshake::{HandshakeOutput, handshake};
use self::records::{OpenedRecord, RecordError, Records};
use super::send::poll_send;

mod client_hello;
mod handshake;
mod records;

/// A TLS connection.
///
/// The field order is the memory layout: the fields of a write come first and share cache lines.
#[repr(C)]
pub struct TlsStream {
    tcp: TcpStream,
    /// Encrypted bytes that have not been sent.
    outgoing: Vec<u8>,
    /// Bytes of `outgoing` that have been sent.
    sent: usize,
    /// Whether our side has sent its closing alert.
    is_write_closed: bool,
    /// Whether the client's side is closed.
    is_read_closed: bool,
    records: Records,
    /// Received bytes that are not decrypted: less than a record.
    incoming: Vec<u8>,
    /// Decrypted bytes that have not been read.
    plaintext: Vec<u8>,
    /// Bytes of `plaintext` that have been read.
    plaintext_read: usize,
    negotiated: Box<Negotiated>,
}

/// The results of the handshake's negotiation.
struct Negotiated {
    alpn_protocol: Option<Vec<u8>>,
    server_name: Option<Arc<str>>,
}

/// Most plaintext in one record (RFC 8446, 5.1), and so the most that one write takes.
const RECORD_BYTES: usize = 16 * 1024;

/// Bytes that one read takes from the socket.
const READ_BYTES: usize = 16 * 1024;

/// Most bytes of replies that the client has not taken. Above this nothing more is read from it.
const OUTGOING_BYTES: usize = 16 * 1024;

thread_local! {
    /// Buffers for receiving and for joining slices. Used within one poll, and never across two.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    received: Vec<u8>,
    joined: Vec<u8>,
}

impl TlsStream {
    /// Performs the handshake that the client has begun. The caller bounds its time.
    ///
    /// # Errors
    /// Returns the error that ended the handshake. The client has been sent an alert if that was possible.
    pub async fn accept(config: Arc<ServerConfig>, hello: ReceivedHello) -> io::Result<Self> {
        let (mut tcp, received) = hello.into_parts();
        let HandshakeOutput { records, incoming, alpn_protocol, server_name } =
            handshake(&config, &mut tcp, received).await?;
        let mut stream = Self {
            tcp,
            records,
            outgoing: Vec::new(),
            sent: 0,
            is_read_closed: false,
            is_write_closed: false,
            incoming,
            plaintext: Vec::new(),
            plaintext_read: 0,
            negotiated: Box::new(Negotiated { alpn_protocol, server_name }),
        };
        // Records that arrived with the end of the handshake must be decrypted now. No further wake-up may come for
        // them.
        let opened = stream.decrypt_received();
        poll_fn(|cx| stream.poll_send(cx)).await?;
        opened.map(|()| stream)
    }

    /// Returns the server name that the client sent (RFC 6066, 3).
    pub fn server_name(&self) -> Option<&Arc<str>> {
        self.negotiated.server_name.as_ref()
    }

    /// Returns the protocol that ALPN chose (RFC 7301).
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.negotiated.alpn_protocol.as_deref()
    }

    /// Returns the bytes of all buffers that are allocated now.
    pub fn buffer_capacity(&self) -> usize {
        self.incoming.capacity() + self.plaintext.capacity() + self.outgoing.capacity()
    }

    /// Receives bytes and decrypts the whole records among them. `plaintext` may still be empty afterwards.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is read from a client that does not take our replies.
        if self.poll_send(cx)?.is_pending() && self.outgoing.len() - self.sent > OUTGOING_BYTES {
            return Poll::Pending;
        }
        let received = SCRATCH.with_borrow_mut(|scratch| {
            scratch.received.resize(READ_BYTES, 0);
            let mut buffer = ReadBuf::new(&mut scratch.received);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
            // Input after our closing alert is discarded.
            if !self.is_write_closed {
                self.incoming.extend_from_slice(buffer.filled());
            }
            Poll::Ready(io::Result::Ok(buffer.filled().len()))
        });
        if ready!(received)? == 0 {
            self.is_read_closed = true;
            return Poll::Ready(Ok(()));
        }
        let opened = self.decrypt_received();
        // Send also after an error, because it has produced an alert.
        let sent = match self.poll_send(cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        };
        Poll::Ready(opened.and(sent))
    }

    /// Decrypts all whole records.
    fn decrypt_received(&mut self) -> io::Result<()> {
        let mut opened = 0;
        let outcome = loop {
            let rest = &mut self.incoming[opened..];
            let length = match self.records.record_len(rest) {
                Ok(Some(length)) => length,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            opened += length;
            match self.records.decrypt(&mut rest[..length], &mut self.outgoing) {
                Ok(OpenedRecord::Data(data)) => self.plaintext.extend_from_slice(data),
                Ok(OpenedRecord::Empty) => {}
                Ok(OpenedRecord::CloseNotify) => {
                    self.is_read_closed = true;
                    break Ok(());
                }
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = outcome {
            self.outgoing.append(&mut self.records.closing_alert(Some(error)));
            (self.is_read_closed, self.is_write_closed) = (true, true);
        }
        if self.is_read_closed || opened == self.incoming.len() {
            self.incoming = Vec::new();
        } else {
            self.incoming.drain(..opened);
        }
        outcome.map_err(|error: RecordError| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Sends the encrypted bytes.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outgoing.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.sent < self.outgoing.len() {
            let count = ready!(poll_send(&mut self.tcp, cx, &self.outgoing[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        (self.outgoing, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Encrypts one record and sends it. Keeps the bytes that the socket does not take. `outgoing` must be empty.
    fn write_record(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let encrypted = self.records.encrypt(bytes, &mut self.outgoing);
        if let Err(error) = encrypted {
            self.outgoing.append(&mut self.records.closing_alert(Some(error)));
            self.is_write_closed = true;
        }
        let mut record = encrypted.as_deref().unwrap_or_default();
        if self.outgoing.is_empty() {
            if let Poll::Ready(sent) = poll_send(&mut self.tcp, cx, record) {
                record = &record[sent?..];
            }
            if !record.is_empty() {
                self.outgoing.extend_from_slice(record);
            }
        } else {
            // A key update or a closing alert must be sent before the record.
            self.outgoing.extend_from_slice(record);
            if let Poll::Ready(sent) = self.poll_send(cx) {
                sent?;
            }
        }
        encrypted.map(drop).map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.plaintext.is_empty() && !this.is_read_closed {
            ready!(this.poll_receive(cx))?;
        }
        let unread = &this.plaintext[this.plaintext_read..];
        let count = unread.len().min(buffer.remaining());
        buffer.put_slice(&unread[..count]);
        this.plaintext_read += count;
        if this.plaintext_read == this.plaintext.len() {
            (this.plaintext, this.plaintext_read) = (Vec::new(), 0);
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
        if this.is_write_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        SCRATCH.with_borrow_mut(|Scratch { joined, .. }| {
            let bytes = match parts {
                [part] => &part[..part.len().min(RECORD_BYTES)],
                parts => {
                    joined.clear();
                    for part in parts {
                        joined.extend_from_slice(&part[..part.len().min(RECORD_BYTES - joined.len())]);
                    }
                    &joined[..]
                }
            };
            if bytes.is_empty() {
                return Poll::Ready(Ok(0));
            }
            this.write_record(cx, bytes)?;
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
        if !this.is_write_closed {
            this.is_write_closed = true;
            this.outgoing.append(&mut this.records.closing_alert(None));
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
