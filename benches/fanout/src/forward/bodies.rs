//! One large body through a server: from the application to a client, or the other way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::{Outcome, process};

/// The direction of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The body of a response.
    Down,
    /// The body of a request.
    Up,
}

/// The cost of a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyFigures {
    pub seconds: f64,
    pub cpu_seconds: f64,
    /// The most memory that the server had above what it had before, in KiB (PSS).
    pub grown_kib: f64,
}

/// Sends a body of so many bytes, and looks at the server's memory all the while.
///
/// # Errors
/// The body did not arrive as a whole.
pub fn measure(
    direction: Direction,
    to: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    bytes: u64,
    processes: &[u32],
) -> Outcome<BodyFigures> {
    let (cpu, memory, start) = (process::cpu_seconds(processes), process::pss_kib(processes)?, Instant::now());
    let transfer = std::thread::spawn(move || transfer(direction, to, tls, bytes).map_err(|error| error.to_string()));
    let mut most = memory;
    while !transfer.is_finished() {
        most = most.max(process::pss_kib(processes)?);
        std::thread::sleep(Duration::from_millis(50));
    }
    let seconds = start.elapsed().as_secs_f64();
    transfer.join().map_err(|_| "the client panicked")??;
    let cpu_seconds = process::cpu_seconds(processes) - cpu;
    Ok(BodyFigures { seconds, cpu_seconds, grown_kib: most - memory })
}

trait Transport: Read + Write {}

impl<T: Read + Write> Transport for T {}

fn transfer(direction: Direction, to: SocketAddr, tls: Option<Arc<ClientConfig>>, bytes: u64) -> Outcome<()> {
    let socket = TcpStream::connect(to)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    socket.set_write_timeout(Some(Duration::from_secs(60)))?;
    let mut transport: Box<dyn Transport> = match tls {
        None => Box::new(socket),
        Some(config) => {
            Box::new(StreamOwned::new(ClientConnection::new(config, ServerName::try_from("localhost")?)?, socket))
        }
    };
    let piece = vec![b'x'; 64 * 1024];
    match direction {
        Direction::Down => {
            transport.write_all(format!("GET /bytes/{bytes} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())?;
        }
        Direction::Up => {
            let head = format!("POST /upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: {bytes}\r\n\r\n");
            transport.write_all(head.as_bytes())?;
            let mut left = bytes;
            while left > 0 {
                let count = left.min(piece.len() as u64);
                transport.write_all(&piece[..count as usize])?;
                left -= count;
            }
            transport.flush()?;
        }
    }
    let mut reader = BufReader::with_capacity(64 * 1024, transport);
    let length = read_head(&mut reader)?;
    if direction == Direction::Up {
        let mut body = String::new();
        reader.take(length).read_to_string(&mut body)?;
        return if body == bytes.to_string() { Ok(()) } else { Err(format!("{body} of {bytes} arrived").into()) };
    }
    if length != bytes {
        return Err(format!("{length} bytes are announced, and not {bytes}").into());
    }
    let mut received = 0;
    while received < bytes {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            return Err(format!("cut off after {received} of {bytes} bytes").into());
        }
        if *part != piece[..part.len()] {
            return Err("a byte that is wrong".into());
        }
        let count = part.len();
        reader.consume(count);
        received += count as u64;
    }
    Ok(())
}

/// Reads the head of a response with the status 200. Returns the length of its body.
fn read_head(reader: &mut impl BufRead) -> Outcome<u64> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200") {
        return Err(format!("answered with {}", line.trim()).into());
    }
    let mut length = None;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    length.ok_or_else(|| "a response without a length".into())
}
