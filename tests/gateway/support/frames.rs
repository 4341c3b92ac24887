//! HTTP/2 in raw frames (RFC 9113, 4), for frames that no HTTP/2 library would send.
//!
//! Header blocks are written without compression and never decoded: of a response head only the frame's kind and the
//! statuses of the static table are known.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::client::Client;
use super::transport::Transport;
use super::wait::{DEADLINE, within};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The setting of a stream's initial window (RFC 9113, 6.5.2).
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;

/// A received frame.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection on which frames are read and written.
pub struct Frames {
    transport: Box<dyn Transport>,
}

/// Encodes a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).expect("a frame's length").to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Encodes a SETTINGS frame.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in values {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// Encodes a field, never indexed (RFC 7541, 6.2.2); name and value are shorter than 127 bytes.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// Encodes the header block of a subscription.
pub fn subscription(path: &str) -> Vec<u8> {
    [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", path), ("accept", "*/*")]
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

/// Encodes a whole request on one stream.
pub fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &subscription(path))
}

impl Frames {
    /// Connects, and sends the preface with these settings.
    pub async fn connect(client: &Client, values: &[(u16, u32)]) -> Self {
        let transport = within(DEADLINE, "connection", client.dial()).await.unwrap();
        let mut frames = Self { transport };
        frames.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        frames.send(&settings(values)).await;
        frames
    }

    /// Sends; returns false if the peer has closed or reads nothing for a while.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        let sending = async {
            self.transport.write_all(bytes).await?;
            self.transport.flush().await
        };
        matches!(timeout(Duration::from_secs(5), sending).await, Ok(Ok(())))
    }

    /// Returns the next frame, or `None` at the end of the connection.
    ///
    /// # Panics
    /// Panics if nothing comes within the deadline.
    pub async fn next(&mut self) -> Option<Frame> {
        within(DEADLINE, "frame", self.read()).await
    }

    /// Reads frames until one matches. Returns `None` if the connection ends before.
    ///
    /// # Panics
    /// Panics if none matches within the deadline, whatever else comes.
    pub async fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let finding = async {
            loop {
                let frame = self.read().await?;
                if frame.kind == PING && frame.flags != ACK {
                    self.send(&super::frames::frame(PING, ACK, 0, &frame.payload)).await;
                }
                if wanted(&frame) {
                    return Some(frame);
                }
            }
        };
        within(DEADLINE, "frame that is looked for", finding).await
    }

    /// Reads to the end of the connection; returns the error of its GOAWAY, if there was one.
    ///
    /// # Panics
    /// Panics if it does not end within the deadline.
    pub async fn end(&mut self, deadline: Duration) -> Option<u32> {
        let mut error = None;
        let reading = async {
            while let Some(frame) = self.read().await {
                if frame.kind == GOAWAY {
                    error = Some(u32::from_be_bytes(frame.payload[4..8].try_into().expect("four bytes")));
                }
            }
        };
        within(deadline, "end of the connection", reading).await;
        error
    }

    /// Whether a PING is answered, so that the connection is alive.
    pub async fn answers_ping(&mut self) -> bool {
        self.send(&frame(PING, 0, 0, b"are you?")).await;
        self.find(|frame| frame.kind == PING && frame.flags == ACK && frame.payload == b"are you?").await.is_some()
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.transport.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.transport.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}
