//! Facts about a request head that hyper does not tell: it accepts a bare LF as the end of a line, drops repeated lengths,
//! and drops `Content-Length` beside `Transfer-Encoding`.
//!
//! None of that is dangerous while hyper is the only reader. It is for a request that is sent on: a reader in front may
//! have seen another one (RFC 9112, 2.2, 6.3 and 11.2). Pure.

use memchr::memchr;

/// Scans the head of one request at a time.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// The beginning of the current line, in lower case.
    line: Vec<u8>,
    /// The last byte, for an end of line that is split.
    last: u8,
    has_line: bool,
    lengths: usize,
    codings: usize,
    has_bare_line_feed: bool,
    is_complete: bool,
}

/// The result of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScannedHead {
    /// The head has one reading.
    Clear,
    /// Two readers could read it differently.
    Ambiguous,
    /// Its bytes came together with those of an earlier request, and have not been scanned.
    Unseen,
}

/// The bytes of a line that are kept: enough for the names that matter.
const LINE_BYTES: usize = 24;

impl HeadScan {
    /// Appends bytes that were read. Those behind the head are ignored.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !self.is_complete && !bytes.is_empty() {
            let Some(end) = memchr(b'\n', bytes) else { return self.extend(bytes) };
            self.extend(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
    }

    /// Returns what is known of the head, and begins with the next one.
    pub(super) fn take(&mut self) -> ScannedHead {
        let Self { lengths, codings, has_bare_line_feed, is_complete, .. } = std::mem::take(self);
        match is_complete {
            false => ScannedHead::Unseen,
            true if has_bare_line_feed || lengths + codings > 1 => ScannedHead::Ambiguous,
            true => ScannedHead::Clear,
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES - self.line.len();
        self.line.extend(bytes.iter().take(room).map(u8::to_ascii_lowercase));
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    fn end_line(&mut self) {
        let is_bare = self.last != b'\r';
        let is_empty = self.line.is_empty() || self.line == b"\r";
        // Empty lines before a request are skipped (RFC 9112, 2.2).
        if !is_empty || self.has_line {
            self.has_bare_line_feed |= is_bare;
            self.is_complete = is_empty;
        }
        self.has_line |= !is_empty;
        let is_field = |name: &[u8]| {
            let rest = self.line.strip_prefix(name);
            rest.is_some_and(|rest| matches!(rest.first(), Some(b':' | b' ' | b'\t')))
        };
        self.lengths += usize::from(is_field(b"content-length"));
        self.codings += usize::from(is_field(b"transfer-encoding"));
        self.line.clear();
        self.last = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str, piece_bytes: usize) -> ScannedHead {
        let mut scan = HeadScan::default();
        text.as_bytes().chunks(piece_bytes).for_each(|piece| scan.push(piece));
        scan.take()
    }

    #[test]
    fn a_head_with_two_readings_is_found_however_it_is_split() {
        for (text, expected) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", ScannedHead::Clear),
            ("\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\ncontent-length: 5\n\n", ScannedHead::Clear),
            ("POST / HTTP/1.1\r\nx-content-length: 5\r\ncontent-length: 5\r\n\r\n", ScannedHead::Clear),
            ("POST / HTTP/1.1\r\ncontent-LENGTH: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ScannedHead::Ambiguous),
            ("POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\ncontent-length:5\r\n\r\n", ScannedHead::Ambiguous),
            ("POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n", ScannedHead::Ambiguous),
            ("GET / HTTP/1.1\nhost: a\r\n\r\n", ScannedHead::Ambiguous),
            ("GET / HTTP/1.1\r\nhost: a\r\n\n", ScannedHead::Ambiguous),
            ("GET / HTTP/1.1\r\nhost: a\r\n", ScannedHead::Unseen),
            ("", ScannedHead::Unseen),
        ] {
            for piece_bytes in [1, 2, 3, 7, 1000] {
                assert_eq!(scan(text, piece_bytes), expected, "{text:?} in pieces of {piece_bytes}");
            }
        }
    }
}
