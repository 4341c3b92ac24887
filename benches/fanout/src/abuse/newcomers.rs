//! Honest clients that come one after another while the readers read, and the probes of an orchestrator.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Protocol, Socket, Type};

use super::situation::Newcomer;
use crate::producer::QUIET;

/// The time after which an answer counts as missing.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// The time between two newcomers.
const INTERVAL: Duration = Duration::from_millis(50);

/// Newcomers that wait at the same time; further ones come when one of them is answered.
const LANES: u32 = 8;

/// One visit: from the connect to the whole head of the response.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    pub began: Instant,
    pub took: Duration,
    /// 0: no answer within [`TIMEOUT`].
    pub status: u16,
    /// Whether the answer was the right one.
    pub is_good: bool,
    /// Whether it asked for `/livez`.
    pub is_probe: bool,
}

/// The newcomers of a run, in threads of their own.
pub struct Newcomers {
    visits: Arc<Mutex<Vec<Visit>>>,
    token: Arc<Mutex<Option<String>>>,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Newcomers {
    /// Sends a client every 50 ms, and a probe to the admin port every 100 ms.
    pub fn start(
        to: SocketAddr,
        admin: Option<SocketAddr>,
        newcomer: Newcomer,
        tls: Option<Arc<ClientConfig>>,
        token: Option<String>,
    ) -> Self {
        let visits = Arc::new(Mutex::new(Vec::new()));
        let token = Arc::new(Mutex::new(token));
        let ends = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let start = Instant::now();
        for lane in 0..LANES {
            let (kept, shown, end, tls) = (visits.clone(), token.clone(), ends.clone(), tls.clone());
            threads.push(std::thread::spawn(move || {
                let mut number = lane;
                while !end.load(Ordering::Relaxed) {
                    std::thread::sleep((start + number * INTERVAL).saturating_duration_since(Instant::now()));
                    let token = shown.lock().expect("a thread that does not panic").clone();
                    let request = request(newcomer, number, token.as_deref());
                    let began = Instant::now();
                    let head = ask(to, number, tls.as_ref(), &request);
                    let is_right =
                        |head: &str| newcomer != Newcomer::Resumption || head.contains("\nrillgate-resume: resumed");
                    keep(&kept, began, head, is_right, false);
                    // The turns that passed meanwhile are left out, so that the lanes stay apart.
                    while start + number * INTERVAL <= Instant::now() {
                        number += LANES;
                    }
                }
            }));
        }
        if let Some(admin) = admin {
            let (kept, end) = (visits.clone(), ends.clone());
            threads.push(std::thread::spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let head =
                        ask(admin, 0, None, "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
                    keep(&kept, began, head, |_| true, true);
                    std::thread::sleep((began + 2 * INTERVAL).saturating_duration_since(Instant::now()));
                }
            }));
        }
        Self { visits, token, ends, threads }
    }

    /// Sets the token that is shown from now on.
    pub fn show(&self, token: &str) {
        *self.token.lock().expect("a thread that does not panic") = Some(token.to_owned());
    }

    /// Returns the visits that ended between two instants.
    pub fn between(&self, from: Instant, to: Instant) -> Vec<Visit> {
        let visits = self.visits.lock().expect("a thread that does not panic");
        visits.iter().filter(|visit| (from..to).contains(&(visit.began + visit.took))).copied().collect()
    }
}

impl Drop for Newcomers {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn keep(
    visits: &Mutex<Vec<Visit>>,
    began: Instant,
    head: io::Result<String>,
    is_right: impl Fn(&str) -> bool,
    is_probe: bool,
) {
    let took = began.elapsed();
    let head = head.unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let is_good = status == 200 && is_right(&head);
    visits.lock().expect("a thread that does not panic").push(Visit { began, took, status, is_good, is_probe });
}

fn request(newcomer: Newcomer, number: u32, token: Option<&str>) -> String {
    let (path, more) = match newcomer {
        Newcomer::NewStream => (format!("{QUIET}{number}"), String::new()),
        Newcomer::NewNamedStream => (format!("/named/quiet-{number}"), String::new()),
        Newcomer::Resumption => ("/past/a".to_owned(), "last-event-id: 500\r\n".to_owned()),
        Newcomer::OpenStream | Newcomer::NewKey => ("/feed/0".to_owned(), String::new()),
    };
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n{more}{token}\r\n")
}

/// Connects from one of 40 addresses, sends, and returns the head in lower case.
fn ask(to: SocketAddr, number: u32, tls: Option<&Arc<ClientConfig>>, request: &str) -> io::Result<String> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    let from = Ipv4Addr::new(127, 0, 2, 1 + (number % 40) as u8);
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&to.into(), TIMEOUT)?;
    let socket = TcpStream::from(socket);
    socket.set_nodelay(true)?;
    match tls {
        None => head(&mut socket.try_clone()?, &socket, request),
        Some(config) => {
            let name = ServerName::try_from("localhost").expect("a name");
            let connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
            head(&mut StreamOwned::new(connection, &mut socket.try_clone()?), &socket, request)
        }
    }
}

fn head(stream: &mut (impl Read + Write), socket: &TcpStream, request: &str) -> io::Result<String> {
    let until = Instant::now() + TIMEOUT;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let (mut head, mut part) = (Vec::new(), [0; 4096]);
    while memchr::memmem::find(&head, b"\r\n\r\n").is_none() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => head.extend_from_slice(&part[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&head).to_ascii_lowercase())
}
