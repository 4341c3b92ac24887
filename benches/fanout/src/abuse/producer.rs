//! The honest producer: it has a history, and numbers and stamps follow from the time alone.
//!
//! Ten events a second on every stream. Event `n` was due `n` tenths of a second after the producer was told to begin, and
//! is stamped with that time; streams below `/past/` have 1,000 events before that. It resumes after `Last-Event-ID` and
//! says so. `/jwks.json` is a file of the folder.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::control::{announce, instructions};
use crate::producer::QUIET;
use crate::scan::{now_micros, payload};

/// The events that a stream below `/past/` has from the start.
pub const PAST: u64 = 1000;

/// The time between two events.
const INTERVAL: Duration = Duration::from_millis(100);

/// The instant at which event 0 was due, and the same on the clock that all processes share.
type Began = OnceLock<(Instant, u64)>;

/// Serves until the parent is gone; begins at its first instruction.
pub fn serve(folder: &Path) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    announce(listener.local_addr()?.port());
    let began = Arc::new(Began::new());
    let (folder, beginning) = (folder.to_owned(), began.clone());
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (folder, began) = (folder.clone(), beginning.clone());
            let builder = std::thread::Builder::new().stack_size(64 * 1024);
            let _ = builder.spawn(move || answer(socket, &folder, &began));
        }
    });
    for _ in instructions() {
        began.get_or_init(|| (Instant::now(), now_micros()));
    }
    Ok(())
}

fn answer(mut socket: TcpStream, folder: &Path, began: &Began) -> std::io::Result<()> {
    let (mut head, mut part) = (Vec::new(), [0; 2048]);
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read(&mut part)? {
            0 => return Ok(()),
            read => head.extend_from_slice(&part[..read]),
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    if head.starts_with("get /jwks.json ") {
        let keys = std::fs::read_to_string(folder.join("jwks.json"))?;
        let length = keys.len();
        let fields = format!("content-type: application/json\r\ncontent-length: {length}\r\nconnection: close");
        return socket.write_all(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{keys}").as_bytes());
    }
    let after = head.lines().find_map(|line| line.strip_prefix("last-event-id:")?.trim().parse::<u64>().ok());
    let proof = if after.is_some() { "rillgate-resume: resumed\r\n" } else { "" };
    socket.set_nodelay(true)?;
    let fields = "content-type: text/event-stream\r\nconnection: close\r\n";
    socket.write_all(format!("HTTP/1.1 200 OK\r\n{fields}{proof}\r\n: hi\n\n").as_bytes())?;
    if head.contains(QUIET) {
        while socket.read(&mut part)? > 0 {}
        return Ok(());
    }
    let (past, bytes) = if head.starts_with("get /past/") { (PAST, 2000) } else { (0, 200) };
    let elapsed = || began.get().map_or(0, |(start, _)| start.elapsed().as_micros() / INTERVAL.as_micros()) as u64;
    let mut next = after.unwrap_or_else(|| past + elapsed()) + 1;
    loop {
        let Some((start, stamp)) = began.get() else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let due = INTERVAL * next.saturating_sub(past) as u32;
        std::thread::sleep((*start + due).saturating_duration_since(Instant::now()));
        let data = payload(next, stamp + due.as_micros() as u64, bytes);
        socket.write_all(format!("id: {next}\ndata: {data}\n\n").as_bytes())?;
        next += 1;
    }
}
