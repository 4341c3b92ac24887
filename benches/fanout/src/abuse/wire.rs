//! The connections of an attacker: sockets whose bytes are counted, and HTTP/2 written out by hand.
//!
//! Always true: nothing waits longer than [`TIMEOUT`], so an attack ends when its time is up.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::http2::{ACK, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, text};

/// The longest wait for one read or write.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// A connect without data counts as this many bytes: the headers of SYN, ACK and RST over IPv4.
pub const CONNECT_BYTES: u64 = 152;

/// Everything that the attackers of this process have sent.
static SENT: AtomicU64 = AtomicU64::new(0);

/// Returns the number of bytes sent so far.
pub fn sent() -> u64 {
    SENT.load(Ordering::Relaxed)
}

/// Counts bytes that were sent.
pub fn count(bytes: u64) {
    SENT.fetch_add(bytes, Ordering::Relaxed);
}

/// A connection that counts what it sends.
pub struct Wire(TcpStream);

impl Wire {
    /// Connects from 127.1.0.0/16, host `from`. With `receive_buffer`, the kernel keeps about that many bytes unread.
    pub fn connect(to: SocketAddr, from: u16, receive_buffer: Option<usize>) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        let [high, low] = from.to_be_bytes();
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 1, high, low), 0)).into())?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect_timeout(&to.into(), TIMEOUT)?;
        socket.set_tcp_nodelay(true)?;
        let socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self(socket))
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)?;
        count(bytes.len() as u64);
        Ok(())
    }

    /// Reads once.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }

    /// Makes the end of the connection a reset.
    pub fn reset(self) {
        count(CONNECT_BYTES);
        let _ = socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }

    /// Whether the other side has closed.
    pub fn is_closed(&self) -> bool {
        self.at_once(|socket| socket.peek(&mut [0]))
    }

    /// Reads what is there, at most the length of the buffer. Returns whether the other side has closed.
    pub fn read_now(&self, buffer: &mut [u8]) -> bool {
        self.at_once(|mut socket| socket.read(buffer))
    }

    fn at_once(&self, read: impl FnOnce(&TcpStream) -> io::Result<usize>) -> bool {
        let _ = self.0.set_nonblocking(true);
        let read = read(&self.0);
        let _ = self.0.set_nonblocking(false);
        match read {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// An HTTP/2 connection of an attacker. Header blocks use the dynamic table, so that a request has few bytes.
pub struct Http2 {
    wire: Wire,
    stream: u32,
    /// Fields that are put into the dynamic table by the first request.
    indexed: Vec<(&'static str, String)>,
    received: Vec<u8>,
}

impl Http2 {
    /// Connects. `is_read` opens the connection's window as far as it goes; else it stays at its 65,535 bytes.
    /// `initial_window` is that of each stream.
    pub fn connect(
        to: SocketAddr,
        from: u16,
        is_read: bool,
        initial_window: Option<u32>,
        mut indexed: Vec<(&'static str, String)>,
    ) -> io::Result<Self> {
        let mut wire = Wire::connect(to, from, None)?;
        let mut out = PREFACE.to_vec();
        let mut settings = Vec::new();
        if let Some(window) = initial_window {
            // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113, 6.5.2).
            settings.extend([0, 4]);
            settings.extend(window.to_be_bytes());
        }
        frame(&mut out, SETTINGS, 0, 0, &settings);
        if is_read {
            frame(&mut out, WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
        }
        wire.send(&out)?;
        indexed.insert(0, (":authority", "x".to_owned()));
        Ok(Self { wire, stream: 1, indexed, received: Vec::new() })
    }

    /// Requests these paths and returns the streams.
    pub fn request(&mut self, paths: impl IntoIterator<Item = String>) -> io::Result<Vec<u32>> {
        let (mut out, mut streams) = (Vec::new(), Vec::new());
        for path in paths {
            // :method GET, :scheme http, and a name of the static table with a value that is not indexed (RFC 7541, 6.2.2).
            let mut block = vec![0x82, 0x86, 0x04];
            text(&mut block, &path);
            for (index, (name, value)) in self.indexed.iter().enumerate() {
                if self.stream == 1 {
                    block.push(0x40);
                    text(&mut block, name);
                    text(&mut block, value);
                } else {
                    // The newest entry of the dynamic table has index 62.
                    block.push(0x80 | (62 + self.indexed.len() - 1 - index) as u8);
                }
            }
            frame(&mut out, HEADERS, END_HEADERS | END_STREAM, self.stream, &block);
            streams.push(self.stream);
            self.stream += 2;
        }
        self.wire.send(&out)?;
        Ok(streams)
    }

    /// Waits for so many response heads.
    pub fn heads(&mut self, count: usize) -> io::Result<()> {
        let (mut heads, mut part) = (0, [0; 64 * 1024]);
        while heads < count {
            let read = self.wire.read(&mut part)?;
            self.received.extend_from_slice(&part[..read]);
            let mut used = 0;
            while let Some(head) = self.received.get(used..used + 9) {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                let (kind, flags) = (head[3], head[4]);
                if self.received.len() < used + 9 + length {
                    break;
                }
                used += 9 + length;
                heads += usize::from(kind == HEADERS);
                if kind == SETTINGS && flags & ACK == 0 {
                    let mut out = Vec::new();
                    frame(&mut out, SETTINGS, ACK, 0, &[]);
                    self.wire.send(&out)?;
                }
            }
            self.received.drain(..used);
        }
        Ok(())
    }

    /// Resets streams with CANCEL.
    pub fn reset(&mut self, streams: &[u32]) -> io::Result<()> {
        let mut out = Vec::new();
        for stream in streams {
            frame(&mut out, RST_STREAM, 0, *stream, &8_u32.to_be_bytes());
        }
        self.wire.send(&out)
    }

    /// Whether the other side has closed the connection. What it has sent is read first, which HTTP/2 does not count as
    /// reading a body.
    pub fn is_closed(&mut self) -> bool {
        let mut part = [0; 64 * 1024];
        let _ = self.wire.0.set_nonblocking(true);
        let closed = loop {
            match self.wire.0.read(&mut part) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break error.kind() != io::ErrorKind::WouldBlock,
            }
        };
        let _ = self.wire.0.set_nonblocking(false);
        closed
    }
}
