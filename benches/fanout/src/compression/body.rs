//! The body of a client that reads [`Content`], in a content coding or in none.
//!
//! The gateway sends each event as a chunk of its own, so chunks tell how many have arrived. Some of the clients decode
//! too: each event has to be there as soon as its chunk is, and has to be the producer's.

use std::io::{self, Write as _};

use memchr::memmem;

use super::content::{Content, ContentKind};
use crate::http1::Body;
use crate::measure::Tally;

/// A content coding of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Zstd,
}

/// The contents that clients read.
#[derive(Clone, Copy, Debug)]
pub struct ContentSettings {
    /// The events of the producer.
    pub kind: ContentKind,
    /// The coding that clients accept; `None`: they send no `Accept-Encoding`.
    pub coding: Option<Coding>,
    /// One of so many clients decodes.
    pub checked: usize,
}

/// The body of one client.
pub struct ContentBody {
    coding: Option<Coding>,
    chunks: u64,
    check: Option<Box<Check>>,
}

/// Compares what a client decodes with the producer's events.
struct Check {
    decoder: Decoder,
    content: Content,
    /// The beginning of a line that was cut, and of an event.
    line: Vec<u8>,
    block: Vec<u8>,
}

enum Decoder {
    Identity(Vec<u8>),
    Gzip(Box<flate2::write::GzDecoder<Vec<u8>>>),
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
}

impl Coding {
    /// Returns its name in the configuration and in fields.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl ContentBody {
    /// Returns the body of the client with this index.
    pub fn new(settings: ContentSettings, index: usize) -> io::Result<Self> {
        let check = match index % settings.checked {
            0 => Some(Box::new(Check {
                decoder: Decoder::new(settings.coding)?,
                content: Content::new(settings.kind),
                line: Vec::new(),
                block: Vec::new(),
            })),
            _ => None,
        };
        Ok(Self { coding: settings.coding, chunks: 0, check })
    }

    /// Returns the number of the event that is to come next.
    pub fn expected(&self) -> u64 {
        match &self.check {
            Some(check) => check.content.number() + 1,
            None => self.chunks.saturating_sub(PRELUDE) + 1,
        }
    }
}

impl Body for ContentBody {
    fn accepts(&self, fields: &[u8]) -> bool {
        let coding = match self.coding {
            None => return memmem::find(fields, b"content-encoding:").is_none(),
            Some(Coding::Gzip) => &b"content-encoding: gzip\r\n"[..],
            Some(Coding::Zstd) => b"content-encoding: zstd\r\n",
        };
        memmem::find(fields, coding).is_some()
    }

    fn push(&mut self, bytes: &[u8], tally: &mut Tally) {
        if let Some(check) = &mut self.check {
            check.push(bytes, tally);
        }
    }

    fn end_chunk(&mut self, tally: &mut Tally) {
        self.chunks += 1;
        let arrived = self.chunks.saturating_sub(PRELUDE);
        tally.events += u64::from(arrived > 0);
        // Whoever decodes has decoded everything that has arrived.
        tally.faults.held_back += u64::from(arrived > 0 && self.expected() != arrived + 1);
    }
}

impl Check {
    fn push(&mut self, bytes: &[u8], tally: &mut Tally) {
        let Ok(decoded) = self.decoder.decode(bytes) else {
            tally.faults.wrong_contents += 1;
            return;
        };
        for part in decoded.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.line(&line, tally);
            }
        }
    }

    fn line(&mut self, line: &[u8], tally: &mut Tally) {
        // Comments, the reconnection time and what separates them are the gateway's own.
        let is_outside = line == b"\n" && self.block.is_empty();
        if is_outside || line.starts_with(b":") || line.starts_with(b"retry:") {
            return;
        }
        self.block.extend_from_slice(line);
        if line == b"\n" {
            let is_next = self.content.next_event().as_bytes() == self.block;
            tally.faults.wrong_contents += u64::from(!is_next);
            self.block.clear();
        }
    }
}

impl Decoder {
    fn new(coding: Option<Coding>) -> io::Result<Self> {
        Ok(match coding {
            None => Self::Identity(Vec::new()),
            Some(Coding::Gzip) => Self::Gzip(Box::new(flate2::write::GzDecoder::new(Vec::new()))),
            Some(Coding::Zstd) => Self::Zstd(zstd::stream::write::Decoder::new(Vec::new())?),
        })
    }

    /// Returns all that can be decoded now that these bytes have arrived.
    fn decode(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let decoded = match self {
            Self::Identity(decoded) => {
                decoded.extend_from_slice(bytes);
                decoded
            }
            Self::Gzip(decoder) => {
                decoder.write_all(bytes)?;
                decoder.flush()?;
                decoder.get_mut()
            }
            Self::Zstd(decoder) => {
                decoder.write_all(bytes)?;
                decoder.flush()?;
                decoder.get_mut()
            }
        };
        Ok(std::mem::take(decoded))
    }
}

/// Chunks before the first event.
const PRELUDE: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> (ContentBody, Tally) {
        let settings = ContentSettings { kind: ContentKind::Rows, coding: None, checked: 1 };
        let (mut body, mut tally) = (ContentBody::new(settings, 0).expect("a body"), Tally::default());
        for chunk in [": prelude\nretry: 2000\n\n", content] {
            let (first, rest) = chunk.split_at(chunk.len() / 2);
            body.push(first.as_bytes(), &mut tally);
            body.push(rest.as_bytes(), &mut tally);
            body.end_chunk(&mut tally);
        }
        (body, tally)
    }

    #[test]
    fn an_event_of_the_producer_is_counted_once() {
        let event = Content::new(ContentKind::Rows).next_event();

        let (body, tally) = read(&event);

        assert_eq!((tally.events, body.expected()), (1, 2));
        assert!(tally.faults.is_none(), "{}", tally.faults);
    }

    #[test]
    fn an_event_that_is_another_or_incomplete_is_seen() {
        let event = Content::new(ContentKind::Rows).next_event();

        assert_eq!(read(&event.replace("order", "odour")).1.faults.wrong_contents, 1);
        assert_eq!(read(&event[..event.len() - 1]).1.faults.held_back, 1);
    }
}
