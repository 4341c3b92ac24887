//! TLS over one connection. The client speaks first (`client_hello`), rustls decides what is said and does all
//! cryptography (`unbuffered`), and this file does the I/O.
//!
//! A buffer exists only while bytes wait to be decrypted, read or sent, so an idle connection has none. rustls' buffered
//! connection keeps 4 KiB for input alone. A write is encrypted and sent at once.

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
use self::unbuffered::UnbufferedTls;
use super::send::poll_send;

mod client_hello;
mod unbuffered;

/// A TLS connection.
///
/// The field order is the memory layout: the fields of a write come first and share cache lines.
#[repr(C)]
pub struct TlsStream {
    tcp: TcpStream,
    /// Bytes of the outgoing ones that have been sent.
    sent: usize,
    /// Boxed as a whole: the allocator rounds rustls' connection up to a size that the buffers fit in as well.
    tls: Box<UnbufferedTls>,
    /// Bytes of the plaintext that have been read.
    plaintext_read: usize,
    server_name: Option<Arc<str>>,
}

/// Most plaintext in one record (RFC 8446, 5.1), and so the most that one write takes.
const RECORD_BYTES: usize = 16 * 1024;

/// Bytes that one read takes from the socket.
const READ_BYTES: usize = 16 * 1024;

/// Most bytes of replies that the client has not taken. Above this nothing more is read from it.
const OUTGOING_BYTES: usize = 16 * 1024;

thread_local! {
    /// Buffers for receiving, for joining slices and for encrypting. Used within one poll, and never across two.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    received: Vec<u8>,
    joined: Vec<u8>,
    record: Vec<u8>,
}

impl TlsStream {
    /// Performs the handshake that the client has begun. The caller bounds its time.
    ///
    /// # Errors
    /// Returns the error that ended the handshake. The client has been sent an alert if that was possible.
    pub async fn accept(config: Arc<ServerConfig>, hello: ReceivedHello) -> io::Result<Self> {
        let ReceivedHello { tcp, bytes, server_name } = hello;
        let tls = Box::new(UnbufferedTls::new(config).map_err(io::Error::other)?);
        let mut stream = Self { tcp, sent: 0, tls, plaintext_read: 0, server_name };
        let mut received = stream.tls.receive(&bytes);
        drop(bytes);
        loop {
            // Send also after an error, because it has left an alert.
            poll_fn(|cx| stream.poll_send(cx)).await?;
            received?;
            if !stream.tls.is_handshaking() {
                return Ok(stream);
            }
            if stream.tls.is_read_closed {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            received = poll_fn(|cx| stream.poll_receive(cx)).await;
        }
    }

    /// Returns the server name that the client sent (RFC 6066, 3).
    pub fn server_name(&self) -> Option<&Arc<str>> {
        self.server_name.as_ref()
    }

    /// Returns the protocol that ALPN chose (RFC 7301).
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    /// Returns the bytes of all buffers that are allocated now.
    pub fn buffer_capacity(&self) -> usize {
        self.tls.incoming.capacity() + self.tls.plaintext.capacity() + self.tls.outgoing.capacity()
    }

    /// Receives bytes and decrypts the whole records among them. There may still be no plaintext afterwards.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.received.resize(READ_BYTES, 0);
            let mut buffer = ReadBuf::new(&mut scratch.received);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                self.tls.is_read_closed = true;
            }
            Poll::Ready(self.tls.receive(buffer.filled()))
        })
    }

    /// Sends the encrypted bytes.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outgoing = &mut self.tls.outgoing;
        if outgoing.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.sent < outgoing.len() {
            let count = ready!(poll_send(&mut self.tcp, cx, &outgoing[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        (*outgoing, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Sends as much as the socket takes now.
    fn try_send(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.poll_send(cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    /// Encrypts one record and sends it. Keeps the bytes that the socket does not take.
    fn write_record(&mut self, cx: &mut Context<'_>, bytes: &[u8], record: &mut Vec<u8>) -> io::Result<()> {
        let length = match self.tls.encrypt(bytes, record) {
            Ok(length) => length,
            Err(error) => {
                // It may have left an alert.
                self.try_send(cx)?;
                return Err(error);
            }
        };
        let mut record = &record[..length];
        // Otherwise rustls has left something that must be sent first.
        if self.tls.outgoing.is_empty() {
            if let Poll::Ready(sent) = poll_send(&mut self.tcp, cx, record) {
                record = &record[sent?..];
            }
            if !record.is_empty() {
                self.tls.outgoing.extend_from_slice(record);
            }
        } else {
            self.tls.outgoing.extend_from_slice(record);
            self.try_send(cx)?;
        }
        Ok(())
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.tls.plaintext.is_empty() && !this.tls.is_read_closed {
            this.try_send(cx)?;
            // Nothing is read from a client that does not take our replies.
            if this.tls.outgoing.len() - this.sent > OUTGOING_BYTES {
                return Poll::Pending;
            }
            let received = ready!(this.poll_receive(cx));
            // Send also after an error, because it has left an alert.
            let sent = this.try_send(cx);
            received.and(sent)?;
        }
        let unread = &this.tls.plaintext[this.plaintext_read..];
        let count = unread.len().min(buffer.remaining());
        buffer.put_slice(&unread[..count]);
        this.plaintext_read += count;
        if this.plaintext_read == this.tls.plaintext.len() {
            (this.tls.plaintext, this.plaintext_read) = (Vec::new(), 0);
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
        SCRATCH.with_borrow_mut(|Scratch { joined, record, .. }| {
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
        this.tls.close()?;
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
