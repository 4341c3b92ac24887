//! Clients that exchange one small thing after another on connections that stay: requests, or messages of WebSockets.
//!
//! Exchanges are due at a fixed rate, whatever the server does, and each is timed from when it was due. Every answer is
//! compared with the expected one.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use memchr::memmem;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::application::SMALL;
use crate::Outcome;

/// The thing that is exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// A `GET` and its answer.
    Request,
    /// A message of 64 bytes on a WebSocket, which comes back.
    Message,
}

/// Connections of one kind to one server.
pub struct Exchanges {
    exchange: Exchange,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    /// The connections that wait for no answer.
    free: VecDeque<usize>,
    buffer: Vec<u8>,
    /// Microseconds from the time at which an exchange was due to its answer.
    latency: Histogram<u64>,
    count: u64,
}

/// The figures of a run.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeFigures {
    /// Exchanges that were answered.
    pub count: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

struct Connection {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Bytes still to be sent, without TLS.
    out: Vec<u8>,
    received: Vec<u8>,
    /// The time at which the exchange in progress was due.
    due: Option<Instant>,
    is_open: bool,
}

const REQUEST: &[u8] =
    b"GET /small HTTP/1.1\r\nhost: localhost\r\nuser-agent: rillgate-fanout\r\naccept: application/json\r\n\r\n";

const HANDSHAKE: &[u8] = b"GET /socket HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

const MESSAGE: [u8; 64] = [b'm'; 64];

impl Exchanges {
    /// Connects `count` clients and waits until each has had its first answer.
    pub fn connect(exchange: Exchange, to: SocketAddr, tls: Option<&Arc<ClientConfig>>, count: usize) -> Outcome<Self> {
        let mut exchanges = Self {
            exchange,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Vec::new(),
            free: VecDeque::new(),
            buffer: vec![0; 64 * 1024],
            latency: Histogram::new_with_bounds(1, 600_000_000, 3)?,
            count: 0,
        };
        let until = Instant::now() + Duration::from_secs(20);
        for index in 0..count {
            let mut connection = Connection::begin(exchange, to, tls)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            exchanges.poll.registry().register(&mut connection.socket, Token(index), interest)?;
            exchanges.connections.push(connection);
        }
        while exchanges.free.len() < count {
            exchanges.turn(Duration::from_millis(10))?;
            if Instant::now() > until {
                return Err(format!("{} of {count} clients were answered", exchanges.free.len()).into());
            }
        }
        Ok(exchanges)
    }

    /// Exchanges at this rate, all connections in turn, until `is_over` or for this long. Waits for the last answers.
    ///
    /// # Errors
    /// A connection ended, or an answer was wrong or did not come.
    pub fn run(&mut self, rate: f64, duration: Duration, is_over: impl Fn() -> bool) -> Outcome<ExchangeFigures> {
        (self.count, self.latency) = (0, Histogram::new_with_bounds(1, 600_000_000, 3)?);
        let (start, interval) = (Instant::now(), Duration::try_from_secs_f64(1.0 / rate)?);
        let mut due = start;
        while start.elapsed() < duration && !is_over() {
            while due <= Instant::now()
                && let Some(index) = self.free.pop_front()
            {
                self.connections[index].exchange(self.exchange, due)?;
                due += interval;
            }
            self.turn(Duration::from_millis(1))?;
        }
        let until = Instant::now() + Duration::from_secs(10);
        while self.free.len() < self.connections.len() {
            self.turn(Duration::from_millis(10))?;
            if Instant::now() > until {
                return Err(format!("{} answers are missing", self.connections.len() - self.free.len()).into());
            }
        }
        let milliseconds = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1000.0;
        Ok(ExchangeFigures { count: self.count, p50_ms: milliseconds(0.5), p99_ms: milliseconds(0.99) })
    }

    fn turn(&mut self, timeout: Duration) -> Outcome<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(timeout)) {
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error.into()) };
        }
        for event in &self.events {
            let index = event.token().0;
            let connection = &mut self.connections[index];
            let was_open = connection.is_open;
            if connection.ready(self.exchange, event.is_readable() || event.is_read_closed(), &mut self.buffer)? {
                self.free.push_back(index);
                if let Some(due) = connection.due.take().filter(|_| was_open) {
                    self.count += 1;
                    self.latency.saturating_record(due.elapsed().as_micros() as u64);
                }
            }
        }
        Ok(())
    }
}

impl Connection {
    fn begin(exchange: Exchange, to: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Outcome<Self> {
        let socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = match tls {
            Some(config) => Some(Box::new(ClientConnection::new(config.clone(), name)?)),
            None => None,
        };
        let first = if exchange == Exchange::Request { REQUEST } else { HANDSHAKE };
        Ok(Self { socket, tls, out: first.to_vec(), received: Vec::new(), due: None, is_open: false })
    }

    fn exchange(&mut self, exchange: Exchange, due: Instant) -> io::Result<()> {
        self.due = Some(due);
        match exchange {
            Exchange::Request => self.out.extend_from_slice(REQUEST),
            Exchange::Message => {
                // Under a mask of zeros.
                self.out.extend_from_slice(&[0x82, 0x80 | MESSAGE.len() as u8, 0, 0, 0, 0]);
                self.out.extend_from_slice(&MESSAGE);
            }
        }
        self.flush()
    }

    /// Reads and writes what can be. Returns true if an answer is complete.
    fn ready(&mut self, exchange: Exchange, is_readable: bool, buffer: &mut [u8]) -> Outcome<bool> {
        if is_readable {
            self.read(buffer)?;
        }
        self.flush()?;
        let length = match (exchange, self.is_open) {
            (Exchange::Message, true) => message_length(&self.received)?,
            (Exchange::Message, false) => head_length(&self.received, b"http/1.1 101")?,
            (Exchange::Request, _) => response_length(&self.received)?,
        };
        let Some(length) = length else { return Ok(false) };
        if self.received.len() > length {
            return Err("more than the answer".into());
        }
        self.received.clear();
        self.is_open = true;
        Ok(true)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Outcome<()> {
        loop {
            let count = match self.socket.read(buffer) {
                Ok(0) => return Err("a connection was closed".into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            match &mut self.tls {
                None => self.received.extend_from_slice(&buffer[..count]),
                Some(tls) => {
                    let mut wire = &buffer[..count];
                    while !wire.is_empty() {
                        tls.read_tls(&mut wire)?;
                        let mut left = tls.process_new_packets()?.plaintext_bytes_to_read();
                        let start = self.received.len();
                        self.received.resize(start + left, 0);
                        while left > 0 {
                            let at = self.received.len() - left;
                            left -= tls.reader().read(&mut self.received[at..])?;
                        }
                    }
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            if !tls.is_handshaking() && !self.out.is_empty() {
                tls.writer().write_all(&self.out)?;
                self.out.clear();
            }
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(error) if would_wait(&error) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        }
        while !self.out.is_empty() {
            match self.socket.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if would_wait(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn would_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

/// Returns the length of a head that begins like this, once it is complete.
fn head_length(received: &[u8], beginning: &[u8]) -> Outcome<Option<usize>> {
    let Some(end) = memmem::find(received, b"\r\n\r\n") else { return Ok(None) };
    match received[..end].to_ascii_lowercase().starts_with(beginning) {
        true => Ok(Some(end + 4)),
        false => Err(format!("an answer that is wrong: {}", String::from_utf8_lossy(&received[..end])).into()),
    }
}

/// Returns the length of the expected response, once it is complete.
fn response_length(received: &[u8]) -> Outcome<Option<usize>> {
    let Some(head) = head_length(received, b"http/1.1 200")? else { return Ok(None) };
    let length = head + SMALL.len();
    match received.get(head..length) {
        None => Ok(None),
        Some(body) if body == SMALL => Ok(Some(length)),
        Some(_) => Err("a body that is wrong".into()),
    }
}

/// Returns the length of the frame with the message, once it is complete.
fn message_length(received: &[u8]) -> Outcome<Option<usize>> {
    match received {
        [0x82, 64, message @ ..] if message.len() < MESSAGE.len() && MESSAGE.starts_with(message) => Ok(None),
        [0x82, 64, message @ ..] if message == MESSAGE => Ok(Some(2 + MESSAGE.len())),
        [] | [0x82] => Ok(None),
        _ => Err("a message that is wrong".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_only_with_its_last_byte_and_only_the_expected_one_counts() {
        let mut response = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n".to_vec();
        response.extend_from_slice(&SMALL);
        for end in 0..response.len() {
            assert_eq!(response_length(&response[..end]).expect("no fault"), None, "{end}");
        }
        assert_eq!(response_length(&response).expect("no fault"), Some(response.len()));
        assert!(response_length(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").is_err());
        *response.last_mut().expect("a body") = b'?';
        assert!(response_length(&response).is_err());
    }

    #[test]
    fn a_message_comes_back_as_it_was_or_is_wrong() {
        let mut frame = vec![0x82, 64];
        frame.extend_from_slice(&MESSAGE);

        assert_eq!(message_length(&frame[..40]).expect("no fault"), None);
        assert_eq!(message_length(&frame).expect("no fault"), Some(66));
        assert!(message_length(b"\x88\x00").is_err(), "the server closes it");
        frame[5] = b'?';
        assert!(message_length(&frame).is_err());
    }
}
