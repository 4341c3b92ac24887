//! TLS over one connection: rustls shakes hands (`handshake`), its ciphers do the rest (`records`), the bytes are ours.
//!
//! What waits to be decrypted, read or sent is held only while it waits: an idle connection has no buffer, where rustls'
//! own keep 4 KiB for input alone. Of the handshake nothing is kept but keys, what makes new ones, and the certificates of a
//! client that had to show some. What is written is encrypted and goes to the socket at once.
//!
//! What it buys is in ARCHITECTURE.md.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use self::handshake::{HandshakeOutput, handshake};
use self::records::{OpenedRecord, RecordError, Records};
use super::send::poll_send;

mod handshake;
mod records;

/// A connection over TLS.
///
/// In this order: what each write touches lies together, and first.
#[repr(C)]
pub struct TlsStream {
    tcp: TcpStream,
    /// Encrypted and not yet sent.
    outgoing: Vec<u8>,
    /// How much of `outgoing` has been sent.
    sent: usize,
    /// Our side has said that it will send no more.
    is_write_closed: bool,
    /// The client will send no more.
    is_read_closed: bool,
    records: Records,
    /// Received and not yet decrypted: less than a record.
    incoming: Vec<u8>,
    /// Decrypted and not yet read.
    plaintext: Vec<u8>,
    /// How much of `plaintext` has been read.
    plaintext_read: usize,
    negotiated: Box<Negotiated>,
}

/// What was agreed on in the handshake.
struct Negotiated {
    alpn_protocol: Option<Vec<u8>>,
    server_name: Option<Arc<str>>,
}

/// Most plaintext in one record (RFC 8446, 5.1), and so the most that one write takes.
const RECORD_BYTES: usize = 16 * 1024;

/// Read from the socket at once.
const READ_BYTES: usize = 16 * 1024;

/// Answers to a client that does not take them: above this nothing more is read from it.
const OUTGOING_BYTES: usize = 16 * 1024;

thread_local! {
    /// What is being received, and what is being joined. Used within one poll, never across two.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    received: Vec<u8>,
    joined: Vec<u8>,
}

impl TlsStream {
    /// Shakes hands. The time for it is the caller's to bound.
    ///
    /// # Errors
    /// What ended the handshake; the client has been told by an alert where it could be.
    pub async fn accept(config: Arc<ServerConfig>, mut tcp: TcpStream) -> io::Result<Self> {
        let HandshakeOutput { records, incoming, alpn_protocol, server_name } = handshake(&config, &mut tcp).await?;
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
        // What came behind the handshake is there already: nothing else may wake whoever reads it.
        let opened = stream.decrypt_received();
        poll_fn(|cx| stream.poll_send(cx)).await?;
        opened.map(|()| stream)
    }

    /// The host name the client asked for.
    pub fn server_name(&self) -> Option<&Arc<str>> {
        self.negotiated.server_name.as_ref()
    }

    /// The protocol agreed on (RFC 7301).
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.negotiated.alpn_protocol.as_deref()
    }

    /// Bytes of buffers that are held for it now.
    pub fn buffer_capacity(&self) -> usize {
        self.incoming.capacity() + self.plaintext.capacity() + self.outgoing.capacity()
    }

    /// Receives and decrypts a piece. `plaintext` may still be empty afterwards.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A client that does not take our answers is not listened to meanwhile.
        if self.poll_send(cx)?.is_pending() && self.outgoing.len() - self.sent > OUTGOING_BYTES {
            return Poll::Pending;
        }
        let received = SCRATCH.with_borrow_mut(|scratch| {
            scratch.received.resize(READ_BYTES, 0);
            let mut buffer = ReadBuf::new(&mut scratch.received);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
            // Behind our own end nobody listens.
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
        // Also after a fault: it has left an alert.
        let sent = match self.poll_send(cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        };
        Poll::Ready(opened.and(sent))
    }

    /// Opens all records that are there.
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

    /// Sends what has been encrypted.
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

    /// Encrypts one record and sends it; what the socket does not take is kept. Nothing may be waiting to be sent.
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
            // New keys, or an end, are to be told first.
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
