//! The ceiling: a loop that writes one event to every socket, and nothing else.
//!
//! Over TLS with rustls' buffered interface. It makes its events itself, looks at no token, has no limits, deadlines or
//! past: what it costs is what the kernel, the loopback device and the record layer cost. It is also the raw accept loop
//! that connects are compared with.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustls::{ServerConfig, ServerConnection};

use crate::control::{announce, instructions};
use crate::producer::Pacing;
use crate::scan::payload;
use crate::{Outcome, certificate};

const LISTENER: Token = Token(usize::MAX);
const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\n: hi\n\r\n";

struct Peer {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    is_live: bool,
    /// Bytes that the socket did not accept yet, without TLS.
    unsent: Vec<u8>,
}

/// Serves until the parent is gone; with TLS if `folder` has a certificate.
pub fn serve(folder: Option<&Path>) -> Outcome<()> {
    let tls = folder.map(certificate::server).transpose()?;
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let instructions = instructions();
    announce(listener.local_addr()?.port());
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut pacing = Pacing::default();
    loop {
        let timeout = pacing.due().map_or(Duration::from_millis(5), |due| due.min(Duration::from_millis(5)));
        match poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, tls.as_ref(), &mut peers)?;
            } else if let Some(slot) = peers.get_mut(event.token().0)
                && slot.as_mut().is_some_and(|peer| peer.ready().is_err())
            {
                *slot = None;
            }
        }
        while let Ok(instruction) = instructions.try_recv() {
            pacing.apply(instruction);
        }
        while let Some((number, stamp)) = pacing.take(Instant::now()) {
            let event = format!("id: {number}\ndata: {}\n\n", payload(number, stamp, 200));
            let chunk = format!("{:X}\r\n{event}\r\n", event.len());
            for slot in &mut peers {
                if slot.as_mut().is_some_and(|peer| peer.is_live && peer.send(chunk.as_bytes()).is_err()) {
                    *slot = None;
                }
            }
        }
        if let Some(newest) = pacing.report() {
            announce(newest);
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    tls: Option<&Arc<ServerConfig>>,
    peers: &mut Vec<Option<Peer>>,
) -> Outcome<()> {
    loop {
        let mut socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        socket.set_nodelay(true)?;
        poll.registry().register(&mut socket, Token(peers.len()), Interest::READABLE | Interest::WRITABLE)?;
        let tls = match tls {
            None => None,
            Some(config) => Some(Box::new(ServerConnection::new(config.clone())?)),
        };
        peers.push(Some(Peer { socket, tls, is_live: false, unsent: Vec::new() }));
    }
}

impl Peer {
    fn ready(&mut self) -> io::Result<()> {
        let mut input = [0; 4096];
        let mut is_asked = false;
        match &mut self.tls {
            None => loop {
                match self.socket.read(&mut input) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(_) => is_asked = true,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            },
            Some(tls) => {
                loop {
                    match tls.read_tls(&mut self.socket) {
                        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Ok(_) => {
                            let state = tls.process_new_packets().map_err(io::Error::other)?;
                            if state.plaintext_bytes_to_read() > 0 {
                                is_asked |= tls.reader().read(&mut input)? > 0;
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error),
                    }
                }
                flush(tls, &mut self.socket)?;
            }
        }
        if is_asked && !self.is_live {
            self.is_live = true;
            return self.send(HEAD);
        }
        let unsent = std::mem::take(&mut self.unsent);
        if unsent.is_empty() { Ok(()) } else { self.send(&unsent) }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None if !self.unsent.is_empty() => self.unsent.extend_from_slice(bytes),
            None => match self.socket.write(bytes) {
                Ok(count) => self.unsent.extend_from_slice(&bytes[count..]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.unsent.extend_from_slice(bytes),
                Err(error) => return Err(error),
            },
            Some(tls) => {
                tls.writer().write_all(bytes)?;
                flush(tls, &mut self.socket)?;
            }
        }
        Ok(())
    }
}

fn flush(tls: &mut ServerConnection, socket: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(socket) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
