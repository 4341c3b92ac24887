//! A producer whose whole history is known: event `n` of a seed is always the same, for every request.
//!
//! It resumes after `Last-Event-ID`, proves it in one of the supported ways, and breaks its connections on request: each
//! then ends at a random byte offset and in a random way.
//!
//! Always true: the ids are 1, 2, 3 and so on, and the body is correct to the byte up to its end. It writes HTTP/1.1 by
//! hand, so that it can stop in the middle of a chunk.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::event_source::Event;
use crate::support::transport::Transport;

/// The largest number of events in a chunk.
const CHUNK_EVENTS: u64 = 64;

/// A connection breaks within this many bytes of the body after it was told to.
const DEATH_WITHIN: usize = 1_500;

/// The producer; closes its port and its connections when dropped.
pub struct RecordedProducer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

struct Shared {
    seed: u64,
    /// The newest event, and the number of times that all connections were told to break.
    now: watch::Sender<Now>,
    /// By path: the number of the first event that was sent to a gateway with nothing to resume after.
    oldest: Mutex<BTreeMap<String, u64>>,
    opened: AtomicU64,
    /// The open responses by the number of their connection.
    open: Mutex<BTreeMap<u64, OpenResponse>>,
}

struct OpenResponse {
    path: String,
    /// The value of `deaths` at which it began.
    born: u64,
}

#[derive(Clone, Copy, Default)]
struct Now {
    newest: u64,
    deaths: u64,
    /// Connections are closed as soon as they are accepted.
    gone: bool,
}

/// Returns event `number` as a client has to dispatch it.
pub fn event(seed: u64, number: u64) -> Event {
    let mut rng = generator(seed, number);
    let kind = ["message", "price", "\u{20ac}"][rng.usize(..3)].to_owned();
    let mut lines = vec![format!("{number} of {seed}")];
    for _ in 0..rng.usize(..3) {
        lines.push(["", " x", "d\u{e4}ta: y", "z"][rng.usize(..4)].repeat(rng.usize(..40)));
    }
    Event { kind, data: lines.join("\n"), last_event_id: number.to_string() }
}

/// Encodes the event, with line ends and comments drawn from the generator.
fn encoded(seed: u64, number: u64) -> String {
    let event = event(seed, number);
    let mut rng = generator(!seed, number);
    let end = ["\n", "\r\n", "\r"][rng.usize(..3)];
    let mut text = String::new();
    if rng.u8(..8) == 0 {
        text.push_str(&format!(": still here{end}"));
    }
    text.push_str(&format!("id: {number}{end}"));
    if event.kind != "message" {
        text.push_str(&format!("event: {}{end}", event.kind));
    }
    for line in event.data.split('\n') {
        text.push_str(&format!("data: {line}{end}"));
    }
    text.push_str(end);
    text
}

/// Returns a generator for this number; those of neighbours are independent.
pub fn generator(seed: u64, number: u64) -> Rng {
    Rng::with_seed(Rng::with_seed(seed).u64(..) ^ Rng::with_seed(number).u64(..))
}

impl RecordedProducer {
    pub async fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (now, oldest, open) = (watch::Sender::default(), Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { seed, now, oldest, opened: AtomicU64::new(0), open });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, accepting }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Publishes the next `count` events.
    pub fn write(&self, count: u64) {
        self.shared.now.send_modify(|now| now.newest += count);
    }

    /// Returns the number of the newest event.
    pub fn newest(&self) -> u64 {
        self.shared.now.borrow().newest
    }

    /// Breaks every open connection within its next bytes.
    pub fn kill(&self) {
        self.shared.now.send_modify(|now| now.deaths += 1);
    }

    /// Sets whether current and new connections are reset at once.
    pub fn leave(&self, gone: bool) {
        self.shared.now.send_modify(|now| now.gone = gone);
    }

    /// Returns the number of connections accepted so far.
    pub fn opened(&self) -> u64 {
        self.shared.opened.load(Ordering::Relaxed)
    }

    /// Returns the number of open responses.
    pub fn open(&self) -> usize {
        self.shared.open.lock().unwrap().len()
    }

    /// Returns the most open responses that one path has.
    #[allow(dead_code, reason = "the tests of several gateways use it")]
    pub fn most_open_of_a_path(&self) -> usize {
        let open = self.shared.open.lock().unwrap();
        let mut paths = BTreeMap::<&str, usize>::new();
        for response in open.values() {
            *paths.entry(&response.path).or_default() += 1;
        }
        paths.into_values().max().unwrap_or(0)
    }

    /// Whether this many responses are open, and none of them has been told to break.
    pub fn is_settled(&self, responses: usize) -> bool {
        let deaths = self.shared.now.borrow().deaths;
        let open = self.shared.open.lock().unwrap();
        open.len() == responses && open.values().all(|response| response.born == deaths)
    }
}

impl Drop for RecordedProducer {
    fn drop(&mut self) {
        self.accepting.abort();
        self.leave(true);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let number = shared.opened.fetch_add(1, Ordering::Relaxed);
        let shared = shared.clone();
        tokio::spawn(async move {
            let _ = socket.set_nodelay(true);
            if shared.now.borrow().gone {
                return socket.reset_on_close();
            }
            let rng = generator(shared.seed ^ 0xC0, number);
            // A connection that fails is the gateway's doing: it was killed.
            let _ = serve(socket, &shared, number, rng).await;
        });
    }
}

async fn serve(mut socket: TcpStream, shared: &Shared, connection: u64, mut rng: Rng) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(socket.read_u8().await?);
    }
    let request = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let after = request.lines().find_map(|line| line.strip_prefix("last-event-id:")).map(|id| id.trim().parse::<u64>());
    let mut now = shared.now.subscribe();
    let mut next = 1 + match &after {
        Some(id) => *id.as_ref().expect("an id that this producer gave"),
        None => now.borrow().newest,
    };
    let oldest = match &after {
        Some(_) => shared.oldest.lock().unwrap().get(path).copied().unwrap_or(1),
        None => *shared.oldest.lock().unwrap().entry(path.to_owned()).insert_entry(next).get(),
    };
    let mut head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n".to_owned();
    let mut proof = String::new();
    if after.is_some() {
        match rng.u8(..3) {
            0 => head.push_str("rillgate-resume: resumed\r\n"),
            1 => proof = format!("id: {}\n\n", next - 1),
            // Repeats ids that the gateway already has. An older one would prove nothing.
            _ => next -= rng.u64(1..5).min(next.saturating_sub(oldest)),
        }
    }
    socket.write_all(format!("{head}\r\n").as_bytes()).await?;
    if !proof.is_empty() {
        write_chunk(&mut socket, proof.len(), proof.as_bytes()).await?;
        socket.write_all(b"\r\n").await?;
    }
    let born = now.borrow().deaths;
    let _open = Open::new(shared, connection, OpenResponse { path: path.to_owned(), born });
    let mut left = None;
    loop {
        let Now { newest, deaths, gone } = *now.borrow_and_update();
        if gone {
            socket.reset_on_close();
            return Ok(());
        }
        if deaths != born && left.is_none() {
            left = Some(rng.usize(..DEATH_WITHIN));
        }
        while next <= newest {
            let last = newest.min(next + CHUNK_EVENTS - 1);
            let body: String = (next..=last).map(|number| encoded(shared.seed, number)).collect();
            match left {
                Some(room) if room <= body.len() => return die(socket, body.as_bytes(), room, &mut rng).await,
                Some(ref mut room) => *room -= body.len(),
                None => {}
            }
            write_chunk(&mut socket, body.len(), body.as_bytes()).await?;
            socket.write_all(b"\r\n").await?;
            next = last + 1;
        }
        let mut ignored = [0; 64];
        tokio::select! {
            changed = now.changed() => if changed.is_err() { return Ok(()) },
            read = socket.read(&mut ignored) => if read? == 0 { return Ok(()) },
        }
    }
}

async fn write_chunk(socket: &mut TcpStream, announced: usize, bytes: &[u8]) -> std::io::Result<()> {
    let mut chunk = format!("{announced:x}\r\n").into_bytes();
    chunk.extend_from_slice(bytes);
    socket.write_all(&chunk).await
}

/// Ends the body after its next `offset` bytes.
async fn die(mut socket: TcpStream, body: &[u8], offset: usize, rng: &mut Rng) -> std::io::Result<()> {
    match rng.u8(..3) {
        // Cleanly, but in the middle of an event.
        0 => {
            if offset > 0 {
                write_chunk(&mut socket, offset, &body[..offset]).await?;
                socket.write_all(b"\r\n").await?;
            }
            socket.write_all(b"0\r\n\r\n").await?;
            socket.shutdown().await
        }
        // In the middle of a chunk.
        1 => write_chunk(&mut socket, body.len(), &body[..offset]).await,
        _ => {
            write_chunk(&mut socket, body.len(), &body[..offset]).await?;
            socket.reset_on_close();
            Ok(())
        }
    }
}

/// An open response, listed while it lives.
struct Open<'s> {
    shared: &'s Shared,
    connection: u64,
}

impl<'s> Open<'s> {
    fn new(shared: &'s Shared, connection: u64, response: OpenResponse) -> Self {
        shared.open.lock().unwrap().insert(connection, response);
        Self { shared, connection }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.shared.open.lock().unwrap().remove(&self.connection);
    }
}
