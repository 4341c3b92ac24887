//! The first chunk of a response that is handed off: its lines, its body, and its end in hyper's output.
//!
//! The end is recognised by a bare LF before the CR LF of the chunk, so a [`Prelude`] always ends in one.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

/// Lines that are sent with the head of a response. The last one ends in a bare LF.
#[derive(Clone, Debug)]
pub struct Prelude(Bytes);

impl Prelude {
    /// Returns `None` unless the lines end in a bare LF, that is one without a CR before it.
    pub fn new(lines: Bytes) -> Option<Self> {
        (lines.ends_with(b"\n") && !lines.ends_with(b"\r\n")).then_some(Self(lines))
    }

    /// Returns the lines.
    pub fn lines(&self) -> &Bytes {
        &self.0
    }

    /// Returns the lines.
    pub fn into_lines(self) -> Bytes {
        self.0
    }
}

/// The body of a response that is handed off: the prelude as one piece, then pending forever.
pub struct PreludeBody(Option<Bytes>);

impl PreludeBody {
    pub(super) fn new(prelude: Prelude) -> Self {
        Self(Some(prelude.0))
    }
}

impl Body for PreludeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // No waker is needed: after the prelude hyper has nothing more to do on this connection.
        self.0.take().map_or(Poll::Pending, |lines| Poll::Ready(Some(Ok(Frame::data(lines)))))
    }
}

/// The end of hyper's output since the connection was claimed.
#[derive(Debug, Default)]
pub(super) struct OutputEnd([u8; 4]);

impl OutputEnd {
    /// Appends bytes that hyper wrote.
    pub(super) fn push(&mut self, written: &[u8]) {
        for &byte in &written[written.len().saturating_sub(self.0.len())..] {
            self.0.rotate_left(1);
            self.0[3] = byte;
        }
    }

    /// Returns true if the output ends with the chunk of a prelude: x LF CR LF, with x not CR.
    pub(super) fn is_prelude(&self) -> bool {
        self.0[0] != b'\r' && self.0[1..] == *b"\n\r\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";

    #[test]
    fn a_prelude_ends_in_a_bare_line_feed() {
        let is_prelude = |lines: &'static str| Prelude::new(Bytes::from_static(lines.as_bytes())).is_some();

        assert!([":\n", "\n", "id: 1\n\n", "a\r\nb\n"].into_iter().all(is_prelude));
        assert!(!["", ":", ":\r", ":\r\n", "id: 1\n\r\n"].into_iter().any(is_prelude));
    }

    #[test]
    fn the_output_ends_with_the_prelude_at_its_last_byte_and_never_before() {
        for lines in ["\n", "\n\n", ": a\nretry: 2000\n", "a\r\nb\n", "id: 1\n\n"] {
            let prelude = Prelude::new(Bytes::from_static(lines.as_bytes())).expect("a bare line feed");
            let chunk = [format!("{:X}\r\n", lines.len()).as_bytes(), prelude.lines(), b"\r\n"].concat();
            let output = [HEAD, chunk.as_slice()].concat();

            for piece_bytes in 1..=output.len() {
                let mut end = OutputEnd::default();
                let reached = output.chunks(piece_bytes).map(|piece| {
                    end.push(piece);
                    end.is_prelude()
                });
                let reached: Vec<_> = reached.collect();
                let first = reached.iter().position(|is_reached| *is_reached);
                assert_eq!(first, Some(reached.len() - 1), "{lines:?} in pieces of {piece_bytes}");
            }
        }
    }
}
