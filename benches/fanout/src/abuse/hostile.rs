//! The producer of an attacker: what it sends is chosen by the attack, and counted.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Outcome;

/// The part of a response after its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// One comment.
    Quiet,
    /// 8 MB of events, as a producer that greets everyone with its history.
    Greeting,
    /// Comments at line rate.
    Comments,
    /// An event of 1 MB, 25 times a second.
    Large,
}

static SENT: AtomicU64 = AtomicU64::new(0);
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Returns the number of bytes sent so far.
pub fn sent() -> u64 {
    SENT.load(Ordering::Relaxed)
}

/// Returns the number of requests so far.
pub fn requests() -> u64 {
    REQUESTS.load(Ordering::Relaxed)
}

/// Serves in threads of its own and returns the port.
pub fn serve(body: Body) -> Outcome<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let builder = std::thread::Builder::new().stack_size(64 * 1024);
            // Without a thread for it, the connection is closed.
            let _ = builder.spawn(move || answer(socket, body));
        }
    });
    Ok(port)
}

/// Answers one request and stays until the gateway closes.
fn answer(mut socket: TcpStream, body: Body) -> std::io::Result<()> {
    let (mut head, mut part) = (Vec::new(), [0; 2048]);
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read(&mut part)? {
            0 => return Ok(()),
            read => head.extend_from_slice(&part[..read]),
        }
    }
    REQUESTS.fetch_add(1, Ordering::Relaxed);
    send(&mut socket, b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: hi\n\n")?;
    match body {
        Body::Quiet => {}
        Body::Greeting => {
            let event = format!("data: {}\n\n", "x".repeat(8100));
            for _ in 0..980 {
                send(&mut socket, event.as_bytes())?;
            }
        }
        Body::Comments => {
            let comments = ":\n".repeat(32 * 1024);
            loop {
                send(&mut socket, comments.as_bytes())?;
            }
        }
        Body::Large => {
            let event = format!("data: {}\n\n", "x".repeat(1_000_000));
            loop {
                send(&mut socket, event.as_bytes())?;
                std::thread::sleep(Duration::from_millis(40));
            }
        }
    }
    while socket.read(&mut part)? > 0 {}
    Ok(())
}

fn send(socket: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    socket.write_all(bytes)?;
    SENT.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok(())
}
