//! An upstream that misbehaves: each answer is an exaggerated form of one that real producers, proxies or load balancers
//! have given.
//!
//! Always true: an answer depends only on the number of the draw; nothing is endless (a flood is some mebibytes); no
//! connection outlives the upstream. Checks nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A scripted answer: the bytes to write, and its end.
#[derive(Clone, Debug)]
pub struct Odd {
    /// A description for failure messages.
    pub name: String,
    steps: Vec<Step>,
    end: End,
}

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    /// The same bytes, repeated.
    Repeat(Vec<u8>, usize),
    /// A pause in milliseconds.
    Wait(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    Reset,
    /// The connection stays open until the peer closes it.
    Hold,
}

impl Odd {
    /// Whether the gateway has to wait before it can know the outcome.
    pub fn keeps_waiting(&self) -> bool {
        let is_held_back = match self.steps.first() {
            None => self.end == End::Hold,
            Some(Step::Wait(_)) => true,
            Some(Step::Send(bytes) | Step::Repeat(bytes, _)) => !bytes.windows(4).any(|end| end == b"\r\n\r\n"),
        };
        is_held_back || self.name.starts_with("1xx")
    }

    /// Draws one of these.
    pub fn draw(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(..10) {
            0 | 1 => refusal(rng),
            2 => redirect(rng),
            3 => headless(rng),
            4 => misdescribed(rng),
            _ => stream(rng),
        }
    }
}

/// Values for `Retry-After` and `retry:`.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "5",
    "120",
    "86400",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "-1",
    "+5",
    "1.5",
    "1e9",
    "0x10",
    "later",
    "",
    " 7 ",
    "7, 9",
    "00000000000000000000000000001",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Sun, 06 Nov 1994 08:49:37",
    "\u{661}",
];

fn number(rng: &mut fastrand::Rng) -> &'static str {
    NUMBERS[rng.usize(..NUMBERS.len())]
}

fn refusal(rng: &mut fastrand::Rng) -> Odd {
    let statuses =
        [429, 429, 429, 503, 503, 500, 502, 504, 400, 401, 403, 404, 404, 410, 418, 204, 205, 206, 304, 599, 600, 999];
    let status = statuses[rng.usize(..statuses.len())];
    let retry_after: String = (0..rng.usize(..3)).map(|_| format!("Retry-After: {}\r\n", number(rng))).collect();
    let length = if status == 204 || status == 304 { "" } else { "Content-Length: 3\r\n" };
    let head = format!("HTTP/1.1 {status} Odd\r\n{retry_after}{length}\r\nno.");
    Odd { name: format!("{status} {retry_after:?}"), steps: vec![Step::Send(head.into_bytes())], end: End::Close }
}

fn redirect(rng: &mut fastrand::Rng) -> Odd {
    let targets = [
        "/again",
        "?again",
        "",
        "http://192.0.2.1/",
        "//localhost:1/x",
        "http://[::1",
        "\u{e9}",
        "/%00",
        "ftp://x/",
        "/a b",
    ];
    let target = targets[rng.usize(..targets.len())];
    let status = [301, 302, 303, 307, 308][rng.usize(..5)];
    let location = if rng.u8(..6) == 0 { String::new() } else { format!("Location: {target}\r\n") };
    let head = format!("HTTP/1.1 {status} Odd\r\n{location}Content-Length: 0\r\n\r\n");
    Odd { name: format!("{status} to {target:?}"), steps: vec![Step::Send(head.into_bytes())], end: End::Close }
}

/// Draws a missing, partial, repeated or unreadable head.
fn headless(rng: &mut fastrand::Rng) -> Odd {
    let end = if rng.bool() { End::Close } else { End::Reset };
    let send = |text: &str| vec![Step::Send(text.as_bytes().to_vec())];
    let (name, steps, end) = match rng.u8(..9) {
        0 => ("nothing", Vec::new(), end),
        1 => ("silence", Vec::new(), End::Hold),
        2 => ("half a head", send("HTTP/1.1 200 OK\r\ncontent-ty"), end),
        3 => ("half a head, held", send("HTTP/1.1 200 OK\r\ncontent-ty"), End::Hold),
        4 => ("garbage", send("\0\u{1}\u{2}garbage\r\n\r\n"), end),
        5 => ("HTTP/2", send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), end),
        6 => (
            "a head without end",
            [send("HTTP/1.1 200 OK\r\n"), vec![Step::Repeat(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".to_vec(), 5_000)]]
                .concat(),
            End::Hold,
        ),
        7 => (
            "1xx without end",
            vec![Step::Repeat(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_vec(), 5_000)],
            End::Hold,
        ),
        _ => {
            ("101", send("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"), end)
        }
    };
    Odd { name: name.to_owned(), steps, end }
}

/// Draws a head that contradicts its body.
fn misdescribed(rng: &mut fastrand::Rng) -> Odd {
    const TYPE: &str = "Content-Type: text/event-stream\r\n";
    let fields = [
        "Content-Type: text/html\r\n",
        "",
        "Content-Type: \r\n",
        "Content-Type: text/html\r\nContent-Type: text/event-stream\r\n",
        "Content-Type: text/event-stream; charset=\"\r\n",
        "Content-Encoding: gzip\r\n",
        "Content-Encoding: none\r\n",
        "Content-Encoding: \r\n",
        "Content-Encoding: identity, br\r\n",
        "Content-Length: 1000000\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "rillgate-resume: resumed;missed=99999999999999999999999\r\n",
        "rillgate-resume: gap;reason=\u{e9}\r\n",
        "Last-Event-ID: \u{e9}\r\n",
        "Trailer: x\r\n",
        "Connection: upgrade\r\n",
    ];
    let field = fields[rng.usize(..fields.len())];
    let kind = if field.starts_with("Content-Type") || field.is_empty() { "" } else { TYPE };
    let head = format!("HTTP/1.1 200 OK\r\n{kind}{field}\r\n");
    let steps = vec![Step::Send(head.into_bytes()), Step::Send(b"id: 1\ndata: x\n\n".to_vec())];
    Odd { name: format!("200 {field:?}"), steps, end: [End::Close, End::Reset, End::Hold][rng.usize(..3)] }
}

/// Draws a stream of odd pieces.
fn stream(rng: &mut fastrand::Rng) -> Odd {
    let is_chunked = rng.bool();
    let framing = if is_chunked { "Transfer-Encoding: chunked\r\n" } else { "" };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n");
    let mut name = String::from("stream");
    let mut steps = Vec::new();
    if rng.u8(..4) == 0 {
        name += ", late head";
        steps.push(Step::Wait(rng.u64(1..120)));
    }
    steps.push(Step::Send(head.into_bytes()));
    for _ in 0..rng.usize(..5) {
        let (what, bytes, times) = piece(rng);
        name += ", ";
        name += &what;
        let bytes = match is_chunked {
            true => [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat(),
            false => bytes,
        };
        steps.push(Step::Repeat(bytes, times));
        if rng.u8(..4) == 0 {
            steps.push(Step::Wait(rng.u64(1..40)));
        }
    }
    let end = [End::Close, End::Close, End::Reset, End::Hold, End::Hold][rng.usize(..5)];
    if is_chunked && end == End::Close {
        let last =
            ["0\r\n\r\n", "0\r\n\r\n", "", "0\r\nx: y\r\n\r\n", "40\r\ndata: half", "Z\r\n", "fffffffffffffffff\r\n"];
        let last = last[rng.usize(..last.len())];
        name += &format!(", ends {last:?}");
        steps.push(Step::Send(last.as_bytes().to_vec()));
    }
    Odd { name: format!("{name}, {end:?}"), steps, end }
}

/// A part of a body: its name, its bytes (never empty, which would be the last chunk), and its repetitions.
fn piece(rng: &mut fastrand::Rng) -> (String, Vec<u8>, usize) {
    let named = |name: &str, bytes: &[u8], times| (name.to_owned(), bytes.to_vec(), times);
    let filler = |count: usize| "i".repeat(count);
    match rng.u8(..16) {
        0..=2 => {
            let retry = number(rng);
            (format!("retry {retry:?}"), format!("retry: {retry}\n\n").into_bytes(), 1)
        }
        3 => named("events", b"data: x\n\n", rng.usize(1..500)),
        4 | 5 => {
            let from = rng.u32(..50);
            let events: String = (from..from + rng.u32(1..40)).map(|id| format!("id: {id}\ndata: {id}\n\n")).collect();
            (format!("ids from {from}"), events.into_bytes(), 1)
        }
        6 => {
            let count = [255, 4_096, 4_097, 16_384, 16_385, 100_000][rng.usize(..6)];
            (format!("id of {count}"), format!("id: {}\ndata: x\n\n", filler(count)).into_bytes(), 1)
        }
        7 => {
            let id: &[u8] = [&b" 1 "[..], b"\t", b"", b"\0", b"\xe9", "é".as_bytes(), b"1\0", b"\x7f"][rng.usize(..8)];
            (format!("id {id:?}"), [b"id: ", id, b"\ndata: x\n\n"].concat(), 1)
        }
        8 => named("a line without end", &[b'd'; 8_192], rng.usize(1..200)),
        9 => named("an event without end", b"data: dddddddddddddddddddddddd\n", rng.usize(1..20_000)),
        10 => named("comments", b":\n", rng.usize(1..50_000)),
        11 => named("a comment without end", b":ccccccccccccccccccccccccccccccc", rng.usize(1..20_000)),
        12 => named("a big event", format!("id: 7\ndata: {}\n\n", filler(rng.usize(60..200_000))).as_bytes(), 1),
        13 => {
            let kind = ["rillgate.resume", "rillgate.error", "", "\u{0}", "é"][rng.usize(..5)];
            (format!("event {kind:?}"), format!("event: {kind}\ndata: {{\"resume\":\"gap\"}}\n\n").into_bytes(), 1)
        }
        14 => named("a gateway's comment", b": rillgate-resume: gap;reason=upstream\n\n", rng.usize(1..3)),
        _ => {
            named("odd bytes", b"\xef\xbb\xbfdata\r\rid\r\n\xff\xfe: x\n:\n\n\r\nretry\n\ndata:\n\n", rng.usize(1..20))
        }
    }
}

/// The upstream; dropping it closes its port.
pub struct Upstream {
    pub url: String,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

struct Shared {
    /// The next answers, in order. Never held across an await.
    answers: Mutex<Vec<Odd>>,
    requests: AtomicUsize,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let shared = Arc::new(Shared { answers: Mutex::default(), requests: AtomicUsize::new(0) });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { url, shared, accepting }
    }

    /// Sets the answers to the next requests, in order.
    pub fn answer(&self, answers: &[Odd]) {
        *self.shared.answers.lock() = answers.to_vec();
        self.shared.requests.store(0, Ordering::Relaxed);
    }

    /// Returns the number of requests since then.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let shared = shared.clone();
        connections.spawn(async move { drop(serve(socket, &shared).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut socket: TcpStream, shared: &Shared) -> std::io::Result<()> {
    /// A time that is longer than any draw.
    const HELD: Duration = Duration::from_secs(60);
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if socket.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let number = shared.requests.fetch_add(1, Ordering::Relaxed);
    let odd = {
        let answers = shared.answers.lock();
        answers[number % answers.len()].clone()
    };
    for step in odd.steps {
        match step {
            Step::Send(bytes) => socket.write_all(&bytes).await?,
            Step::Repeat(bytes, times) => timeout(HELD, socket.write_all(&bytes.repeat(times))).await??,
            Step::Wait(milliseconds) => sleep(Duration::from_millis(milliseconds)).await,
        }
    }
    match odd.end {
        End::Close => socket.shutdown().await,
        End::Reset => SockRef::from(&socket).set_linger(Some(Duration::ZERO)),
        End::Hold => {
            let mut ignored = [0; 256];
            while timeout(HELD, socket.read(&mut ignored)).await?? > 0 {}
            Ok(())
        }
    }
}
