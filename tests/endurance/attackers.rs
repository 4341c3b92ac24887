//! Eight attackers of different kinds, each an address of its own, each for as long as the test runs.
//!
//! Always true: an attacker that is refused or disconnected comes back, and its acts are counted, so that a test can show
//! that it attacked. Their pace leaves the machine to the honest clients.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::client::Client;
use crate::support::frames::{self, Frames, HEADERS, INITIAL_WINDOW_SIZE, RST_STREAM};
use crate::support::raw::Raw;

/// The names of the kinds.
pub const KINDS: [&str; 8] = [
    "streams reset while the window is shut",
    "made-up keys that are opened and left",
    "unread streams of a producer that greets",
    "silent connections",
    "connections that are closed at once",
    "bad tokens",
    "readers that do not read",
    "refused requests",
];

/// A token that the route's issuer never signed.
const BAD_TOKEN: &str =
    "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tLyJ9.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The longest wait of an attacker for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause between two acts of an attacker.
const PAUSE: Duration = Duration::from_millis(100);

/// The attackers; they end when dropped.
pub struct Attackers {
    _tasks: JoinSet<()>,
    acts: Vec<Arc<AtomicU64>>,
}

impl Attackers {
    /// Starts one of each kind.
    pub fn start(gateway: SocketAddr) -> Self {
        let mut tasks = JoinSet::new();
        let acts: Vec<Arc<AtomicU64>> = KINDS.iter().map(|_| Arc::default()).collect();
        for (kind, acts) in acts.iter().cloned().enumerate() {
            let source = IpAddr::V4(Ipv4Addr::new(127, 0, 9, u8::try_from(kind).unwrap() + 1));
            let [http1, http2] =
                [Client::http1(gateway), Client::http2(gateway)].map(|client| client.coming_from(source));
            tasks.spawn(async move {
                for round in 0_usize.. {
                    match kind {
                        0 => reset_with_shut_window(&http2, &acts).await,
                        1 => open_and_leave(&http2, round, &acts).await,
                        2 => leave_unread(&http2, round, &acts).await,
                        3 => stay_silent(&http1, &acts).await,
                        4 => connect_and_close(&http1, &acts).await,
                        5 => show_bad_token(&http1, &acts).await,
                        6 => read_nothing(&http1, &acts).await,
                        _ => be_refused(&http1, &acts).await,
                    }
                    sleep(PAUSE).await;
                }
            });
        }
        Self { _tasks: tasks, acts }
    }

    /// Returns the number of acts of each kind.
    pub fn acts(&self) -> Vec<u64> {
        self.acts.iter().map(|acts| acts.load(Ordering::Relaxed)).collect()
    }
}

/// Requests 50 streams, waits for their heads, resets them, and repeats until the gateway closes the connection.
async fn reset_with_shut_window(client: &Client, acts: &AtomicU64) {
    let mut connection = Frames::connect(client, &[]).await;
    let mut stream = 1;
    loop {
        let streams: Vec<u32> = (stream..stream + 100).step_by(2).collect();
        stream += 100;
        let requests: Vec<u8> = streams.iter().flat_map(|&stream| frames::request(stream, "/greeting/a")).collect();
        if !connection.send(&requests).await {
            return;
        }
        for _ in &streams {
            if !has_head(&mut connection).await {
                return;
            }
        }
        let resets = streams.iter().flat_map(|&stream| frames::frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        connection.send(&resets.collect::<Vec<_>>()).await;
        acts.fetch_add(50, Ordering::Relaxed);
        sleep(PAUSE).await;
    }
}

/// Opens ten keys of an unreachable upstream and closes the connection.
async fn open_and_leave(client: &Client, round: usize, acts: &AtomicU64) {
    let mut connection = Frames::connect(client, &[]).await;
    for number in 0..10 {
        connection.send(&frames::request(2 * number + 1, &format!("/unreachable/{round}-{number}"))).await;
    }
    if has_head(&mut connection).await {
        acts.fetch_add(10, Ordering::Relaxed);
    }
}

/// Opens 20 keys of a producer that greets with a megabyte, with windows of 0, and holds them for four seconds.
async fn leave_unread(client: &Client, round: usize, acts: &AtomicU64) {
    let mut connection = Frames::connect(client, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    for number in 0..20 {
        connection.send(&frames::request(2 * number + 1, &format!("/greeting/{round}-{number}"))).await;
    }
    if has_head(&mut connection).await {
        acts.fetch_add(20, Ordering::Relaxed);
    }
    sleep(Duration::from_secs(4)).await;
}

/// Holds 200 connections for some seconds and says nothing.
async fn stay_silent(client: &Client, acts: &AtomicU64) {
    let mut held = Vec::new();
    while held.len() < 200 {
        if let Ok(connection) = client.dial().await {
            acts.fetch_add(1, Ordering::Relaxed);
            held.push(connection);
        }
    }
    sleep(Duration::from_secs(8)).await;
}

/// Connects ten times and closes without a byte.
async fn connect_and_close(client: &Client, acts: &AtomicU64) {
    for _ in 0..10 {
        acts.fetch_add(u64::from(client.dial().await.is_ok()), Ordering::Relaxed);
    }
}

/// Shows a token with a wrong signature in ten requests of one connection.
async fn show_bad_token(client: &Client, acts: &AtomicU64) {
    let request =
        format!("GET /protected/a HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {BAD_TOKEN}\r\n\r\n").repeat(10);
    let mut connection = Raw::dial(client).await;
    connection.send(request.as_bytes()).await;
    if connection.read_until("HTTP/1.1 401", ANSWER_TIMEOUT).await {
        acts.fetch_add(10, Ordering::Relaxed);
    }
}

/// Subscribes 20 times to large events with small buffers, and reads nothing for some seconds.
async fn read_nothing(client: &Client, acts: &AtomicU64) {
    let client = client.clone().receive_buffer(4 * 1024);
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut connection = Raw::dial(&client).await;
        connection.send(b"GET /greeting/large HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        held.push(connection);
        acts.fetch_add(1, Ordering::Relaxed);
        sleep(PAUSE).await;
    }
    sleep(Duration::from_secs(6)).await;
}

/// Requests a path without a route five times on one connection.
async fn be_refused(client: &Client, acts: &AtomicU64) {
    let mut connection = Raw::dial(client).await;
    connection.send("GET /nowhere/at/all HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(5).as_bytes()).await;
    if connection.read_until("HTTP/1.1 404", ANSWER_TIMEOUT).await {
        acts.fetch_add(5, Ordering::Relaxed);
    }
}

/// Whether one more response head arrives.
async fn has_head(connection: &mut Frames) -> bool {
    matches!(timeout(ANSWER_TIMEOUT, connection.find(|frame| frame.kind == HEADERS)).await, Ok(Some(_)))
}
