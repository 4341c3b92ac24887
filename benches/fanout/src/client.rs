//! A client: its socket, TLS if the server uses it, and the parser of its responses.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Protocol, Socket, Type};

use crate::Outcome;
use crate::compression::body::ContentBody;
use crate::http1::{ReadState, Response};
use crate::http2::Connection;
use crate::measure::Tally;

/// A client.
pub struct Client {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Bytes still to be sent, without TLS.
    out: Vec<u8>,
    reading: Reading,
}

/// The parser of a client's responses.
pub enum Reading {
    /// A single response over HTTP/1.1.
    Http1(Box<Response>),
    /// A single response over HTTP/1.1 with known contents.
    Content(Box<Response<ContentBody>>),
    /// Streams over HTTP/2.
    Http2(Box<Connection>),
}

/// Buffers that all clients share.
pub struct Buffers {
    wire: Vec<u8>,
    plain: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { wire: vec![0; 128 * 1024], plain: vec![0; 64 * 1024] }
    }
}

impl Client {
    /// Begins to connect, from an address of this machine's own that depends on `index`: one address has too few ports,
    /// and a gateway limits what comes from one.
    pub fn connect(
        to: SocketAddr,
        index: usize,
        tls: Option<&Arc<ClientConfig>>,
        request: Vec<u8>,
        reading: Reading,
    ) -> Outcome<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        let from = Ipv4Addr::new(127, 0, 0, 2 + (index % 40) as u8);
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        if let Err(error) = socket.connect(&to.into())
            && error.kind() != io::ErrorKind::WouldBlock
            // EINPROGRESS
            && error.raw_os_error() != Some(115)
        {
            return Err(error.into());
        }
        socket.set_tcp_nodelay(true)?;
        let tls = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from("localhost").expect("a name");
                Some(Box::new(ClientConnection::new(config.clone(), name)?))
            }
        };
        Ok(Self { socket: TcpStream::from_std(socket.into()), tls, out: request, reading })
    }

    /// The socket, to be registered.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Returns the number of streams that have been answered.
    pub fn open_streams(&self) -> usize {
        match &self.reading {
            Reading::Http1(response) => usize::from(response.is_open()),
            Reading::Content(response) => usize::from(response.is_open()),
            Reading::Http2(connection) => connection.open_streams(),
        }
    }

    /// Calls `see` with the number that each stream is to bring next.
    pub fn expected(&self, mut see: impl FnMut(u64)) {
        match &self.reading {
            Reading::Http1(response) => see(response.scan.expected()),
            Reading::Content(response) => see(response.scan.expected()),
            Reading::Http2(connection) => connection.expected().for_each(see),
        }
    }

    /// The response, where there is one alone.
    pub fn response(&self) -> Option<&Response> {
        match &self.reading {
            Reading::Http1(response) => Some(response),
            Reading::Content(_) | Reading::Http2(_) => None,
        }
    }

    /// Reads and writes what can be.
    pub fn ready(&mut self, is_readable: bool, buffers: &mut Buffers, tally: &mut Tally) -> io::Result<ReadState> {
        if is_readable {
            loop {
                let count = match self.socket.read(&mut buffers.wire) {
                    Ok(0) => return Ok(ReadState::Ended),
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                tally.tick();
                tally.wire_bytes += count as u64;
                let state = match &mut self.tls {
                    None => push(&mut self.reading, &buffers.wire[..count], &mut self.out, tally),
                    Some(tls) => decrypt(
                        tls,
                        &buffers.wire[..count],
                        &mut buffers.plain,
                        &mut self.reading,
                        &mut self.out,
                        tally,
                    )?,
                };
                if state != ReadState::Open {
                    return Ok(state);
                }
                // A short read has emptied the socket: the next bytes are announced.
                if count < buffers.wire.len() {
                    break;
                }
            }
        }
        self.flush()?;
        Ok(ReadState::Open)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => {
                while !self.out.is_empty() {
                    match self.socket.write(&self.out) {
                        Ok(count) => drop(self.out.drain(..count)),
                        Err(error) if would_wait(&error) => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
            }
            Some(tls) => {
                if !self.out.is_empty() && !tls.is_handshaking() {
                    tls.writer().write_all(&std::mem::take(&mut self.out))?;
                }
                while tls.wants_write() {
                    match tls.write_tls(&mut self.socket) {
                        Ok(_) => {}
                        Err(error) if would_wait(&error) => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        if self.out.is_empty() {
            self.out = Vec::new();
        }
        Ok(())
    }
}

fn would_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

fn decrypt(
    tls: &mut ClientConnection,
    mut wire: &[u8],
    plain: &mut [u8],
    reading: &mut Reading,
    out: &mut Vec<u8>,
    tally: &mut Tally,
) -> io::Result<ReadState> {
    while !wire.is_empty() {
        tls.read_tls(&mut wire)?;
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        let mut left = state.plaintext_bytes_to_read();
        while left > 0 {
            let count = tls.reader().read(plain)?;
            left -= count;
            let state = push(reading, &plain[..count], out, tally);
            if state != ReadState::Open {
                return Ok(state);
            }
        }
        if state.peer_has_closed() {
            return Ok(ReadState::Ended);
        }
    }
    Ok(ReadState::Open)
}

fn push(reading: &mut Reading, bytes: &[u8], out: &mut Vec<u8>, tally: &mut Tally) -> ReadState {
    tally.http_bytes += bytes.len() as u64;
    match reading {
        Reading::Http1(response) => response.push(bytes, tally),
        Reading::Content(response) => response.push(bytes, tally),
        Reading::Http2(connection) => connection.push(bytes, out, tally),
    }
}
