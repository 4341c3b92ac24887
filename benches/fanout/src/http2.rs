//! The client side of HTTP/2: the part of RFC 9113 that holds streams open, written by hand so that it costs little CPU.
//! Header blocks are sent without compression. Only the status of received ones is read.

use crate::http1::{Body as _, ReadState};
use crate::measure::Tally;
use crate::scan::Scan;

/// A connection with its streams.
pub struct Connection {
    streams: Vec<Stream>,
    /// The start of an incomplete frame.
    cut: Vec<u8>,
    /// Bytes received since the window was last widened.
    received: usize,
}

struct Stream {
    is_open: bool,
    scan: Scan,
}

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const WINDOW: u32 = 1 << 30;

const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

impl Connection {
    /// A connection that asks for `paths`; its first bytes are appended to `out`. Each body is checked by a `scan`.
    pub fn open(paths: &[&str], fields: &[(&str, &str)], scan: impl Fn() -> Scan, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(PREFACE);
        // SETTINGS_INITIAL_WINDOW_SIZE (4).
        let mut setting = vec![0, 4];
        setting.extend_from_slice(&WINDOW.to_be_bytes());
        frame(out, SETTINGS, 0, 0, &setting);
        frame(out, WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
        for (index, path) in paths.iter().enumerate() {
            frame(out, HEADERS, END_HEADERS | END_STREAM, 2 * index as u32 + 1, &block(path, fields));
        }
        let streams = paths.iter().map(|_| Stream { is_open: false, scan: scan() }).collect();
        Self { streams, cut: Vec::new(), received: 0 }
    }

    /// Returns the number of streams with a valid head.
    pub fn open_streams(&self) -> usize {
        self.streams.iter().filter(|stream| stream.is_open).count()
    }

    /// The number that each stream is to bring next.
    pub fn expected(&self) -> impl Iterator<Item = u64> {
        self.streams.iter().map(|stream| stream.scan.expected())
    }

    /// Takes the next bytes; answers go to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, tally: &mut Tally) -> ReadState {
        self.received += bytes.len();
        if self.received > (WINDOW / 4) as usize {
            let widened = (self.received as u32).to_be_bytes();
            self.received = 0;
            frame(out, WINDOW_UPDATE, 0, 0, &widened);
        }
        if self.cut.is_empty() {
            let used = match self.frames(bytes, out, tally) {
                Ok(used) => used,
                Err(state) => return state,
            };
            self.cut = bytes[used..].to_vec();
        } else {
            let mut whole = std::mem::take(&mut self.cut);
            whole.extend_from_slice(bytes);
            let used = match self.frames(&whole, out, tally) {
                Ok(used) => used,
                Err(state) => return state,
            };
            self.cut = whole[used..].to_vec();
        }
        ReadState::Open
    }

    fn frames(&mut self, bytes: &[u8], out: &mut Vec<u8>, tally: &mut Tally) -> Result<usize, ReadState> {
        let mut used = 0;
        while let Some(head) = bytes.get(used..used + 9) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (kind, flags) = (head[3], head[4]);
            let id = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let Some(payload) = bytes.get(used + 9..used + 9 + length) else { break };
            used += 9 + length;
            let stream = (id % 2 == 1).then(|| self.streams.get_mut((id / 2) as usize)).flatten();
            match (kind, stream) {
                (DATA, Some(stream)) => {
                    stream.scan.push(payload, tally);
                    if flags & END_STREAM != 0 {
                        return Err(ReadState::Ended);
                    }
                }
                (HEADERS, Some(stream)) => {
                    // `:status: 200` is a single byte (RFC 7541, appendix A); a size update may stand before it.
                    let status = payload.iter().find(|byte| **byte & 0xe0 != 0x20);
                    if status != Some(&0x88) || flags & END_STREAM != 0 {
                        return Err(ReadState::Wrong);
                    }
                    stream.is_open = true;
                }
                (RST_STREAM | GOAWAY, _) => return Err(ReadState::Ended),
                (SETTINGS, _) if flags & ACK == 0 => frame(out, SETTINGS, ACK, 0, &[]),
                (PING, _) if flags & ACK == 0 => frame(out, PING, ACK, 0, payload),
                _ => {}
            }
        }
        Ok(used)
    }
}

/// Appends a frame.
pub fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A header block without an entry in the dynamic table (RFC 7541, 6.2.2).
fn block(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    // :method GET, :scheme https
    let mut block = vec![0x82, 0x87];
    for (name, value) in [(":path", path), (":authority", "localhost"), ("accept", "text/event-stream")] {
        literal(&mut block, name, value);
    }
    for (name, value) in fields {
        literal(&mut block, name, value);
    }
    block
}

fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    text(block, name);
    text(block, value);
}

/// Appends a string without Huffman coding (RFC 7541, 5.2).
pub fn text(block: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        block.push(length as u8);
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push((length % 128) as u8 | 0x80);
            length /= 128;
        }
        block.push(length as u8);
    }
    block.extend_from_slice(text.as_bytes());
}
