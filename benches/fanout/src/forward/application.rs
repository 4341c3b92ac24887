//! The application behind the servers that forward: small answers, bodies of any size in both directions, and WebSockets
//! that send back what they get.
//!
//! A thread for each connection. It does as little as possible, because it shares a core with the clients.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::Outcome;
use crate::control::{announce, instructions};

/// The body of a small answer.
pub const SMALL: [u8; 200] = [b'a'; 200];

/// The proof for the key that all clients send (RFC 6455, 1.3).
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

struct Request {
    path: String,
    /// The number of bytes of its body.
    length: u64,
    is_upgrade: bool,
}

/// Serves until the parent is gone.
pub fn serve() -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    announce(listener.local_addr()?.port());
    let _parent = instructions();
    for socket in listener.incoming().flatten() {
        std::thread::spawn(move || answer(socket));
    }
    Ok(())
}

fn answer(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 * 1024, socket.try_clone()?);
    while let Some(request) = read_head(&mut reader)? {
        if request.is_upgrade {
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                 sec-websocket-accept: {ACCEPTED}\r\n\r\n"
            );
            socket.write_all(head.as_bytes())?;
            return echo(&mut reader, &mut socket);
        }
        if let Some(count) = request.path.strip_prefix("/bytes/").and_then(|count| count.parse().ok()) {
            write_bytes(&mut socket, count)?;
            continue;
        }
        let received = io::copy(&mut (&mut reader).take(request.length), &mut io::sink())?;
        let body = if request.length > 0 { received.to_string().into_bytes() } else { SMALL.to_vec() };
        let mut response =
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", body.len())
                .into_bytes();
        response.extend_from_slice(&body);
        socket.write_all(&response)?;
    }
    Ok(())
}

/// Returns the next request, or nothing at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut is_upgrade) = (0, false);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(io::Error::other("a body whose length is not announced"));
        } else {
            is_upgrade |= name.eq_ignore_ascii_case("upgrade");
        }
    }
    Ok(Some(Request { path, length, is_upgrade }))
}

fn write_bytes(socket: &mut TcpStream, count: u64) -> io::Result<()> {
    socket.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {count}\r\n\r\n").as_bytes())?;
    io::copy(&mut BufReader::with_capacity(64 * 1024, io::repeat(b'x')).take(count), socket)?;
    Ok(())
}

/// Sends each short frame back without its mask (RFC 6455, 5.2).
fn echo(reader: &mut impl Read, socket: &mut TcpStream) -> io::Result<()> {
    let mut frame = [0; 6 + 125];
    loop {
        reader.read_exact(&mut frame[..6])?;
        let length = usize::from(frame[1] & 127);
        if length > 125 {
            return Err(io::Error::other("a long frame"));
        }
        reader.read_exact(&mut frame[6..6 + length])?;
        let mask = [frame[2], frame[3], frame[4], frame[5]];
        let mut answer = vec![frame[0], length as u8];
        answer.extend(frame[6..6 + length].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        socket.write_all(&answer)?;
    }
}
