//! The parser of HTTP/1.1 responses: a head, then a body in chunks or up to the end of the connection.

use memchr::memmem;

use crate::measure::Tally;
use crate::scan::Scan;

/// A response that is being read.
pub struct Response<B = Scan> {
    state: State,
    /// The body.
    pub scan: B,
}

/// The reader of a body.
pub trait Body {
    /// Returns false if a head with these fields, in lower case, is not one that was asked for.
    fn accepts(&self, _fields: &[u8]) -> bool {
        true
    }

    /// Takes the next bytes.
    fn push(&mut self, bytes: &[u8], tally: &mut Tally);

    /// Takes the end of a chunk.
    fn end_chunk(&mut self, _tally: &mut Tally) {}
}

#[derive(Default)]
enum State {
    /// The head so far.
    #[default]
    Awaited,
    Head(Vec<u8>),
    /// The size line of a chunk so far.
    Size(usize),
    /// Bytes that remain of a chunk and its line end.
    Chunk(usize),
    /// A body without chunks.
    Endless,
    /// The last chunk has come.
    Ended,
}

/// The state of a response after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadState {
    /// Its head is not complete, or it goes on.
    Open,
    /// The head was not one of a stream, or the framing is wrong.
    Wrong,
    /// It has ended.
    Ended,
}

impl<B: Body> Response<B> {
    /// Returns a response of which nothing has been read; `scan` checks its body.
    pub fn new(scan: B) -> Self {
        Self { state: State::default(), scan }
    }

    /// Whether a valid head has been read.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Awaited | State::Head(_))
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8], tally: &mut Tally) -> ReadState {
        if self.is_open() {
            return self.body(bytes, tally);
        }
        let mut head = if let State::Head(head) = &mut self.state { std::mem::take(head) } else { Vec::new() };
        head.extend_from_slice(bytes);
        let Some(end) = memmem::find(&head, b"\r\n\r\n") else {
            self.state = State::Head(head);
            return ReadState::Open;
        };
        let fields = head[..end + 2].to_ascii_lowercase();
        if !fields.starts_with(b"http/1.1 200") || !self.scan.accepts(&fields) {
            return ReadState::Wrong;
        }
        let is_chunked = memmem::find(&fields, b"transfer-encoding: chunked").is_some();
        self.state = if is_chunked { State::Size(0) } else { State::Endless };
        self.body(&head[end + 4..], tally)
    }

    fn body(&mut self, mut bytes: &[u8], tally: &mut Tally) -> ReadState {
        while let Some(&first) = bytes.first() {
            match &mut self.state {
                State::Awaited | State::Head(_) => unreachable!("the head is complete"),
                State::Ended => return ReadState::Ended,
                State::Endless => {
                    self.scan.push(bytes, tally);
                    return ReadState::Open;
                }
                State::Size(size) => {
                    bytes = &bytes[1..];
                    match first {
                        b'\r' => {}
                        b'\n' if *size == 0 => self.state = State::Ended,
                        b'\n' => self.state = State::Chunk(*size + 2),
                        digit => match char::from(digit).to_digit(16) {
                            Some(digit) => *size = *size * 16 + digit as usize,
                            None => return ReadState::Wrong,
                        },
                    }
                }
                State::Chunk(left) => {
                    let part = bytes.len().min(*left);
                    let data = part.min(left.saturating_sub(2));
                    self.scan.push(&bytes[..data], tally);
                    *left -= part;
                    if *left == 0 {
                        self.state = State::Size(0);
                        self.scan.end_chunk(tally);
                    }
                    bytes = &bytes[part..];
                }
            }
        }
        if matches!(self.state, State::Ended) { ReadState::Ended } else { ReadState::Open }
    }
}

/// A request for a stream.
pub fn request(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n");
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}
