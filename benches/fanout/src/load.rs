//! The load generator: thousands of clients in one event loop on one core.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;

use crate::Outcome;
use crate::client::{Buffers, Client, Reading};
use crate::compression::body::{ContentBody, ContentSettings};
use crate::http1::{self, ReadState, Response};
use crate::http2::Connection;
use crate::measure::Tally;
use crate::scan::{Ids, Scan};
use crate::turns::Turns;

/// The number and kind of the clients.
#[derive(Clone)]
pub struct ClientSettings {
    /// The address of the server.
    pub to: SocketAddr,
    /// Connect with TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// Over HTTP/2, so many streams on each connection; 0: HTTP/1.1.
    pub h2_streams: usize,
    /// Paths, dealt out to the streams in turn.
    pub paths: Vec<String>,
    /// More fields of the request.
    pub fields: Vec<(String, String)>,
    /// The rule of the server's ids.
    pub ids: Ids,
    /// The number of the first event that each stream is to bring.
    pub first: u64,
    /// The contents that are read instead of numbered events, over HTTP/1.1.
    pub content: Option<ContentSettings>,
    /// This load's turns to connect, if several connect in turn.
    pub turns: Option<Turns>,
}

/// The clients.
pub struct Load {
    poll: Poll,
    events: Events,
    clients: Vec<Option<Client>>,
    buffers: Buffers,
    /// The results of all clients.
    pub tally: Tally,
    /// Responses with a good head.
    pub open: usize,
    /// Connections that ended or failed unexpectedly.
    pub lost: usize,
    /// The error of the first lost connection.
    pub first_error: Option<String>,
}

/// Connections that are being made at the same time.
const AT_ONCE: usize = 500;

/// Silence after which no event is still on its way.
const QUIET: Duration = Duration::from_millis(250);

impl Load {
    /// Returns a load without clients.
    pub fn new() -> Outcome<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(4096),
            clients: Vec::new(),
            buffers: Buffers::default(),
            tally: Tally::default(),
            open: 0,
            lost: 0,
            first_error: None,
        })
    }

    /// Connects `count` clients and waits until all have been answered. Returns the time that this took.
    pub fn connect(&mut self, client_settings: &ClientSettings, count: usize, timeout: Duration) -> Outcome<Duration> {
        let start = Instant::now();
        let connected = self.connect_within(client_settings, count, timeout);
        if let (Some(turns), Err(error)) = (&client_settings.turns, &connected) {
            turns.abandon(&error.to_string());
        }
        connected.map(|()| start.elapsed())
    }

    fn connect_within(&mut self, client_settings: &ClientSettings, count: usize, timeout: Duration) -> Outcome<()> {
        let start = Instant::now();
        let (first, wanted) = (self.clients.len(), self.open + count * client_settings.h2_streams.max(1));
        while self.open < wanted {
            let begun = self.clients.len() - first;
            let answered = begun
                .saturating_sub((wanted - self.open).div_ceil(client_settings.h2_streams.max(1)) - (count - begun));
            let mut wait = Duration::from_millis(10);
            for _ in 0..AT_ONCE.saturating_sub(begun - answered).min(count - begun) {
                if !client_settings.turns.as_ref().map_or(Ok(true), Turns::is_due)? {
                    wait = Duration::ZERO;
                    break;
                }
                self.begin(client_settings)?;
                client_settings.turns.iter().for_each(Turns::end);
            }
            self.turn(wait)?;
            if self.lost > 0 {
                return Err(
                    format!("{} clients lost: {}", self.lost, self.first_error.as_deref().unwrap_or("?")).into()
                );
            }
            if start.elapsed() > timeout {
                return Err(format!("{} of {wanted} responses after {timeout:?}", self.open).into());
            }
        }
        Ok(())
    }

    fn begin(&mut self, client_settings: &ClientSettings) -> Outcome<()> {
        let index = self.clients.len();
        let fields: Vec<_> =
            client_settings.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let scan = || Scan::new(client_settings.ids, client_settings.first);
        let path = |index: usize| client_settings.paths[index % client_settings.paths.len()].as_str();
        let (request, reading) = if client_settings.h2_streams > 0 {
            let mut out = Vec::new();
            let paths: Vec<_> = (0..client_settings.h2_streams)
                .map(|stream| path(index * client_settings.h2_streams + stream))
                .collect();
            let connection = Connection::open(&paths, &fields, scan, &mut out);
            (out, Reading::Http2(Box::new(connection)))
        } else if let Some(content) = client_settings.content {
            let response = Response::new(ContentBody::new(content, index)?);
            (http1::request(path(index), &fields), Reading::Content(Box::new(response)))
        } else {
            (http1::request(path(index), &fields), Reading::Http1(Box::new(Response::new(scan()))))
        };
        let mut client = Client::connect(client_settings.to, index, client_settings.tls.as_ref(), request, reading)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(client.socket(), Token(index), interest)?;
        self.clients.push(Some(client));
        Ok(())
    }

    /// Receives for this duration.
    pub fn receive(&mut self, duration: Duration) -> Outcome<()> {
        let until = Instant::now() + duration;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.turn(left.min(Duration::from_millis(20)))?;
        }
    }

    /// Receives until this many events have arrived.
    pub fn receive_events(&mut self, events: u64, timeout: Duration) -> Outcome<()> {
        let until = Instant::now() + timeout;
        while self.tally.events < events {
            self.turn(Duration::from_millis(10))?;
            if Instant::now() > until {
                return Err(format!("{} of {events} events after {timeout:?}", self.tally.events).into());
            }
        }
        Ok(())
    }

    /// Receives until no more events arrive, then counts the streams that have not all of the `sent` events. The producer
    /// must be silent.
    pub fn settle(&mut self, sent: u64, timeout: Duration) -> Outcome<()> {
        let until = Instant::now() + timeout;
        let mut seen = (self.tally.events, Instant::now());
        loop {
            self.turn(Duration::from_millis(20))?;
            if self.tally.events != seen.0 {
                seen = (self.tally.events, Instant::now());
            }
            let quiet = seen.1.elapsed();
            if Instant::now() > until || (quiet > QUIET && (self.short(sent) == 0 || quiet > 8 * QUIET)) {
                self.tally.faults.short = self.short(sent);
                return Ok(());
            }
        }
    }

    /// Returns the number of streams whose newest event is not the one with this number.
    fn short(&self, newest: u64) -> u64 {
        let mut count = 0;
        for client in self.clients.iter().flatten() {
            client.expected(|expected| count += u64::from(expected != newest + 1));
        }
        count
    }

    /// Returns an error unless every client got every event once and in order.
    pub fn verdict(&self) -> Outcome<()> {
        let mut wrong = Vec::new();
        if !self.tally.faults.is_none() {
            wrong.push(self.tally.faults.to_string());
        }
        if self.lost > 0 {
            let first_error = self.first_error.as_deref().unwrap_or("?");
            wrong.push(format!("{} connections lost, the first: {first_error}", self.lost));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ").into()) }
    }

    /// Returns the first client's response.
    pub fn first(&mut self) -> Option<&Response> {
        self.clients.first()?.as_ref()?.response()
    }

    /// Connects a client that keeps ids.
    pub fn connect_probe(&mut self, client_settings: &ClientSettings) -> Outcome<()> {
        let index = self.clients.len();
        let fields: Vec<_> =
            client_settings.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut response = Box::new(Response::new(Scan::new(client_settings.ids, client_settings.first)));
        response.scan.is_probe = true;
        let request = http1::request(&client_settings.paths[0], &fields);
        let mut client = Client::connect(
            client_settings.to,
            index,
            client_settings.tls.as_ref(),
            request,
            Reading::Http1(response),
        )?;
        self.poll.registry().register(client.socket(), Token(index), Interest::READABLE | Interest::WRITABLE)?;
        self.clients.push(Some(client));
        let until = Instant::now() + Duration::from_secs(10);
        while self.open == 0 && Instant::now() < until {
            self.turn(Duration::from_millis(10))?;
        }
        Ok(())
    }

    fn turn(&mut self, timeout: Duration) -> Outcome<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(timeout)) {
            if error.kind() == std::io::ErrorKind::Interrupted {
                return Ok(());
            }
            return Err(error.into());
        }
        for event in &self.events {
            let Some(slot) = self.clients.get_mut(event.token().0) else { continue };
            let Some(client) = slot else { continue };
            let before = client.open_streams();
            let state = client.ready(event.is_readable() || event.is_read_closed(), &mut self.buffers, &mut self.tally);
            self.open += client.open_streams() - before;
            if !matches!(state, Ok(ReadState::Open)) {
                self.first_error.get_or_insert_with(|| format!("{state:?}"));
                self.lost += 1;
                *slot = None;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::scan::payload;

    /// Answers this number of clients with two events each, and waits until they leave.
    fn two_events(clients: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let mut sockets = Vec::new();
            for mut socket in listener.incoming().take(clients).flatten() {
                let events: String = (1..=2).map(|n| format!("id: {n}\ndata: {}\n\n", payload(n, 1, 200))).collect();
                socket.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{events}").as_bytes()).expect("a client");
                sockets.push(socket);
            }
            sockets.into_iter().for_each(|mut socket| drop(socket.read_to_end(&mut Vec::new())));
        });
        address
    }

    #[test]
    fn a_tail_that_all_clients_lack_is_seen() {
        let client_settings = ClientSettings {
            to: two_events(2),
            tls: None,
            h2_streams: 0,
            paths: vec!["/".to_owned()],
            fields: Vec::new(),
            ids: Ids::Producers,
            first: 1,
            content: None,
            turns: None,
        };
        let mut load = Load::new().expect("a load");
        load.connect(&client_settings, 2, Duration::from_secs(10)).expect("clients");
        load.receive_events(4, Duration::from_secs(10)).expect("events");

        load.settle(2, Duration::from_secs(10)).expect("a settled load");
        assert!(load.verdict().is_ok());
        load.settle(3, Duration::from_millis(300)).expect("a settled load");

        let fault = load.verdict().expect_err("a fault");
        assert_eq!(fault.to_string(), "2 streams without the first or the last events");
    }
}
