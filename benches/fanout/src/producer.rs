//! The producer behind the servers: an HTTP server whose responses never end, or a client that posts to a hub.
//!
//! Events are stamped with the time when they were due, not when they were written: what a slow reader makes the producer
//! wait counts as latency.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::compression::content::{Content, ContentKind};
use crate::control::{Instruction, announce, instructions};
use crate::scan::{now_micros, payload};

/// The time at which the next event is due.
#[derive(Default)]
pub struct Pacing {
    number: u64,
    /// Events to be sent at once.
    burst: u64,
    interval: Option<Duration>,
    next: Option<Instant>,
    /// The number of events in a burst, those that remain of the current one, and the pause after the last.
    train: Option<(u64, u64, Duration)>,
    /// The parent waits for the number of the newest event.
    is_asked: bool,
}

impl Pacing {
    /// Applies an instruction.
    pub fn apply(&mut self, instruction: Instruction) {
        match instruction {
            Instruction::Trains { events, spacing, period } => {
                self.interval = Some(spacing);
                self.next = Some(Instant::now() + spacing);
                self.train = Some((events, events, period.saturating_sub(spacing * events as u32)));
            }
            Instruction::Rate(rate) => {
                self.train = None;
                self.interval = (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate));
                self.next = self.interval.map(|interval| Instant::now() + interval);
            }
            Instruction::Burst(events) => self.burst += events,
            Instruction::Report => self.is_asked = true,
        }
    }

    /// Returns the time until the next event, or `None` if there is none planned.
    pub fn due(&self) -> Option<Duration> {
        if self.burst > 0 {
            return Some(Duration::ZERO);
        }
        self.next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    /// Returns the number of the newest event, once for each report that was asked for and not before a burst is over.
    pub fn report(&mut self) -> Option<u64> {
        (self.burst == 0 && std::mem::take(&mut self.is_asked)).then_some(self.number)
    }

    /// The number and the stamp of an event that is due.
    pub fn take(&mut self, now: Instant) -> Option<(u64, u64)> {
        if self.burst > 0 {
            self.burst -= 1;
            self.number += 1;
            return Some((self.number, now_micros()));
        }
        let (next, interval) = (self.next?, self.interval?);
        let late = now.checked_duration_since(next)?;
        let mut next = next + interval;
        if let Some((events, left, pause)) = &mut self.train {
            *left -= 1;
            if *left == 0 {
                (*left, next) = (*events, next + *pause);
            }
        }
        self.next = Some(next);
        self.number += 1;
        Some((self.number, now_micros().saturating_sub(late.as_micros() as u64)))
    }
}

/// The number of addresses at which a producer listens, from 127.0.0.1 on. A gateway that opens 10,000 connections to one
/// address of its own machine spends its time on finding a free port.
pub const ADDRESSES: u8 = 8;

/// Listens at all addresses, at one port.
fn listen() -> Outcome<Vec<TcpListener>> {
    let mut attempts = 0;
    loop {
        let first = TcpListener::bind("127.0.0.1:0")?;
        let port = first.local_addr()?.port();
        let others = (2..=ADDRESSES).map(|last| TcpListener::bind((std::net::Ipv4Addr::new(127, 0, 0, last), port)));
        match others.collect::<Result<Vec<_>, _>>() {
            Ok(others) => return Ok(std::iter::once(first).chain(others).collect()),
            Err(error) if attempts == 20 => return Err(error.into()),
            Err(_) => attempts += 1,
        }
    }
}

/// Serves until the parent is gone: numbered events, or with `of` a content with this name. If `of` is a hub, an address and
/// a path, events are posted there instead.
pub fn serve(of: Option<&str>) -> Outcome<()> {
    let readers = Arc::new(Mutex::new(Vec::<TcpStream>::new()));
    let mut publisher = None;
    let mut content = of.and_then(ContentKind::named).map(Content::new);
    match of.and_then(|hub| hub.split_once('/')) {
        Some((address, path)) => {
            publisher = Some((TcpStream::connect(address)?, format!("/{path}")));
            announce(0_u16);
        }
        None => {
            let listeners = listen()?;
            announce(listeners[0].local_addr()?.port());
            for listener in listeners {
                let readers = readers.clone();
                std::thread::spawn(move || {
                    let mut held = Vec::new();
                    for socket in listener.incoming().flatten() {
                        match answer(socket) {
                            Some((socket, true)) => held.push(socket),
                            Some((socket, false)) => readers.lock().expect("a thread that does not panic").push(socket),
                            None => {}
                        }
                    }
                });
            }
        }
    }
    let instructions = instructions();
    let mut pacing = Pacing::default();
    loop {
        let timeout = pacing.due().unwrap_or(Duration::from_millis(100)).min(Duration::from_millis(100));
        if let Ok(instruction) = instructions.recv_timeout(timeout) {
            pacing.apply(instruction);
        }
        // All that is due goes out in one write, up to a bound that a server can take at once.
        let mut due = Vec::new();
        while due.len() < 64
            && let Some(event) = pacing.take(Instant::now())
        {
            due.push(event);
        }
        if let Some((socket, path)) = &mut publisher {
            for (number, stamp) in &due {
                post(socket, path, &payload(*number, *stamp, 200))?;
            }
        } else if !due.is_empty() {
            let event = |(number, stamp): &(u64, u64)| match &mut content {
                Some(content) => content.next_event(),
                None => format!("id: {number}\ndata: {}\n\n", payload(*number, *stamp, 200)),
            };
            let events: String = due.iter().map(event).collect();
            let chunk = format!("{:X}\r\n{events}\r\n", events.len());
            let mut readers = readers.lock().expect("a thread that does not panic");
            readers.retain_mut(|socket| socket.write_all(chunk.as_bytes()).is_ok());
        }
        if let Some(newest) = pacing.report() {
            announce(newest);
        }
    }
}

/// Prefix of the paths of streams that are open without events.
pub const QUIET: &str = "/feed/quiet-";

/// The socket of a response that has begun, and whether it is one to be kept quiet.
fn answer(mut socket: TcpStream) -> Option<(TcpStream, bool)> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        let count = socket.read(&mut part).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&part[..count]);
    }
    socket.set_nodelay(true).ok()?;
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
                  transfer-encoding: chunked\r\n\r\n6\r\n: hi\n\n\r\n";
    socket.write_all(answer.as_bytes()).ok()?;
    let is_quiet = memchr::memmem::find(&head, QUIET.as_bytes()).is_some();
    Some((socket, is_quiet))
}

fn post(socket: &mut TcpStream, path: &str, data: &str) -> Outcome<()> {
    let length = data.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{data}"
    );
    socket.write_all(request.as_bytes())?;
    // Its answer is small and has a length, or none.
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = socket.read(&mut part)?;
        if count == 0 {
            return Err("the hub hung up".into());
        }
        answer.extend_from_slice(&part[..count]);
        let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let body = head.lines().find_map(|line| {
            line.strip_prefix("content-length: ").and_then(|length| length.trim().parse::<usize>().ok())
        });
        let is_whole = match body {
            Some(length) => answer.len() >= end + 4 + length,
            None if head.contains("transfer-encoding: chunked") => answer.ends_with(b"0\r\n\r\n"),
            None => true,
        };
        if is_whole {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_waits_for_the_end_of_a_burst() {
        let mut pacing = Pacing::default();
        pacing.apply(Instruction::Burst(2));
        pacing.apply(Instruction::Report);

        let reports: Vec<_> = (0..3)
            .map(|_| {
                let _ = pacing.take(Instant::now());
                pacing.report()
            })
            .collect();

        assert_eq!(reports, [None, Some(2), None]);
    }
}
