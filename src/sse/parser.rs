//! Bytes to events, as the HTML standard says in 9.2.6, "Interpreting an event stream".
//!
//! The items do not depend on how the bytes were split: a line is interpreted when its end arrives, never earlier or
//! later. Memory is bounded by twice the largest event, whatever is sent. Bytes that are not UTF-8 become U+FFFD
//! where the standard's decoder would put them: line ends, the colon and the space are ASCII, so they cut every
//! ill-formed sequence, and decoding one value alone gives the same text as decoding the whole stream.
//!
//! Does not reconnect, keep time or know whether an end of the stream was expected. An unfinished event at the end is
//! dropped with the parser.

use std::fmt;
use std::mem;
use std::time::Duration;

use memchr::{memchr, memchr2};

use super::{Event, EventId};

/// An incremental parser for one response body.
#[derive(Debug)]
pub struct Parser {
    limit: usize,
    /// The beginning of a line whose end has not arrived.
    held: Vec<u8>,
    /// The last line ended in CR: a line feed that comes next belongs to that end.
    after_carriage_return: bool,
    /// No line is complete yet, so the next one may begin with a byte order mark.
    at_start: bool,
    block: Block,
    last_event_id: EventId,
    comments: u64,
    failure: Option<TooLarge>,
}

/// What a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A block with data.
    Event(Event),
    /// A block without data that set the last event id.
    Id(EventId),
    /// A new reconnection time, in force from its line on. At most `u32::MAX` milliseconds.
    Retry(Duration),
}

/// More than the parser holds. The stream cannot be followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is larger than {limit} bytes")]
pub struct TooLarge {
    /// What was too large.
    pub what: Oversized,
    /// The most that it may have, in bytes.
    pub limit: usize,
}

/// The part of a stream that a limit is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversized {
    /// One line, comments included.
    Line,
    /// Data, type and id of one event together.
    Event,
    /// One last event id; see [`EventId::MAX_BYTES`].
    Id,
}

/// The fields since the last blank line.
#[derive(Debug, Default)]
struct Block {
    kind: String,
    /// Absent until the first `data` field: an empty one makes an event, none at all does not.
    data: Option<String>,
    id: Option<EventId>,
}

impl Parser {
    /// A parser at the beginning of a stream whose events hold at most `max_event_bytes` of data, type and id together.
    ///
    /// A line may be longer by 16 bytes, so that an event of the full size fits on one.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            limit: max_event_bytes,
            held: Vec::new(),
            after_carriage_return: false,
            at_start: true,
            block: Block::default(),
            last_event_id: EventId::default(),
            comments: 0,
            failure: None,
        }
    }

    /// Reads on. Items completed by these bytes are appended to `items`, also when an error is returned; never
    /// more than one for each byte.
    ///
    /// # Errors
    /// When a line, an id or an event is too large; from then on always, without reading.
    pub fn push(&mut self, bytes: &[u8], items: &mut Vec<Item>) -> Result<(), TooLarge> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let outcome = self.read(bytes, items);
        if let Err(failure) = outcome {
            self.failure = Some(failure);
            self.held = Vec::new();
            self.block = Block::default();
        }
        outcome
    }

    /// The last event id in force after the last completed block; empty at the beginning.
    pub fn last_event_id(&self) -> &EventId {
        &self.last_event_id
    }

    /// How many comments have come. They say no more than that the producer is alive, so they are not kept.
    pub fn comments(&self) -> u64 {
        self.comments
    }

    fn read(&mut self, mut rest: &[u8], items: &mut Vec<Item>) -> Result<(), TooLarge> {
        while let Some(&first) = rest.first() {
            if mem::take(&mut self.after_carriage_return) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr2(b'\r', b'\n', rest) else {
                return self.hold(rest);
            };
            self.after_carriage_return = rest[end] == b'\r';
            if self.held.is_empty() {
                self.check_line(end)?;
                self.line(&rest[..end], items)?;
            } else {
                self.hold(&rest[..end])?;
                let mut held = mem::take(&mut self.held);
                self.line(&held, items)?;
                // What a big event made it grow to is given back; what ordinary lines need is kept.
                if held.capacity() <= KEPT_CAPACITY {
                    held.clear();
                    self.held = held;
                }
            }
            rest = &rest[end + 1..];
        }
        Ok(())
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        let len = self.held.len() + bytes.len();
        self.check_line(len)?;
        if len > self.held.capacity() {
            // Doubling, but never past the limit: the bound on memory is a promise.
            let capacity = len.max(self.held.capacity() * 2).min(self.line_limit()).max(len);
            self.held.reserve_exact(capacity - self.held.len());
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    fn check_line(&self, len: usize) -> Result<(), TooLarge> {
        if len > self.line_limit() {
            return Err(TooLarge { what: Oversized::Line, limit: self.line_limit() });
        }
        Ok(())
    }

    fn line_limit(&self) -> usize {
        self.limit.saturating_add(LINE_ALLOWANCE)
    }

    /// Interprets one line, its end removed.
    fn line(&mut self, mut line: &[u8], items: &mut Vec<Item>) -> Result<(), TooLarge> {
        if mem::take(&mut self.at_start) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            items.extend(self.end_block());
            return Ok(());
        }
        let (name, value) = match memchr(b':', line) {
            Some(0) => {
                self.comments += 1;
                return Ok(());
            }
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &line[line.len()..]),
        };
        match name {
            b"data" => self.block.add_data(value, self.limit),
            b"event" => self.block.set_kind(value, self.limit),
            b"id" => self.block.set_id(value, self.limit),
            b"retry" => {
                items.extend(reconnection_time(value).map(Item::Retry));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end_block(&mut self) -> Option<Item> {
        let Block { kind, data, id } = mem::take(&mut self.block);
        if let Some(id) = &id {
            self.last_event_id = id.clone();
        }
        match data {
            Some(data) => Some(Item::Event(Event { kind, data, id })),
            None => id.map(Item::Id),
        }
    }
}

impl Block {
    fn add_data(&mut self, value: &[u8], limit: usize) -> Result<(), TooLarge> {
        let others = self.kind.len() + self.id_len();
        let room = limit.saturating_sub(others);
        match &mut self.data {
            None => self.data = Some(decode_onto(String::new(), value, room, limit)?),
            Some(data) => {
                let mut longer = mem::take(data);
                push_within(&mut longer, "\n", room, limit)?;
                *data = decode_onto(longer, value, room, limit)?;
            }
        }
        Ok(())
    }

    fn set_kind(&mut self, value: &[u8], limit: usize) -> Result<(), TooLarge> {
        let room = limit.saturating_sub(self.data_len() + self.id_len());
        self.kind = decode_onto(String::new(), value, room, limit)?;
        Ok(())
    }

    fn set_id(&mut self, value: &[u8], limit: usize) -> Result<(), TooLarge> {
        // An id with NUL is no id at all, so it is not too long either.
        if memchr(0, value).is_some() {
            return Ok(());
        }
        let too_long = TooLarge { what: Oversized::Id, limit: EventId::MAX_BYTES };
        if value.len() > EventId::MAX_BYTES {
            return Err(too_long);
        }
        let id = EventId::new(String::from_utf8_lossy(value)).map_err(|_| too_long)?;
        if self.data_len() + self.kind.len() + id.as_str().len() > limit {
            return Err(TooLarge { what: Oversized::Event, limit });
        }
        self.id = Some(id);
        Ok(())
    }

    fn data_len(&self) -> usize {
        self.data.as_ref().map_or(0, String::len)
    }

    fn id_len(&self) -> usize {
        self.id.as_ref().map_or(0, |id| id.as_str().len())
    }
}

/// Decodes `value` onto `text`, which may grow to `room` bytes.
fn decode_onto(mut text: String, value: &[u8], room: usize, limit: usize) -> Result<String, TooLarge> {
    // Decoding never shortens, so this refuses before anything is allocated.
    if text.len() + value.len() > room {
        return Err(TooLarge { what: Oversized::Event, limit });
    }
    // Validation alone is several times faster than the search for ill-formed parts, and nearly always enough.
    if let Ok(value) = str::from_utf8(value) {
        push_within(&mut text, value, room, limit)?;
        return Ok(text);
    }
    for part in value.utf8_chunks() {
        push_within(&mut text, part.valid(), room, limit)?;
        if !part.invalid().is_empty() {
            push_within(&mut text, "\u{FFFD}", room, limit)?;
        }
    }
    Ok(text)
}

fn push_within(text: &mut String, more: &str, room: usize, limit: usize) -> Result<(), TooLarge> {
    let len = text.len() + more.len();
    if len > room {
        return Err(TooLarge { what: Oversized::Event, limit });
    }
    if len > text.capacity() {
        let capacity = len.max(text.capacity() * 2).min(room).max(len);
        text.reserve_exact(capacity - text.len());
    }
    text.push_str(more);
    Ok(())
}

/// The value of a `retry` field. Digits alone count: no sign, no space, not nothing.
fn reconnection_time(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let most = u64::from(u32::MAX);
    let milliseconds = value.iter().fold(0_u64, |number, digit| (number * 10 + u64::from(digit - b'0')).min(most));
    Some(Duration::from_millis(milliseconds))
}

impl fmt::Display for Oversized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "a line",
            Self::Event => "an event",
            Self::Id => "an event id",
        })
    }
}

/// "The BOM is stripped, if any": the decoder's rule, for the first three bytes of the stream alone.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What a line may have beyond the largest event: a byte order mark, the longest field name, a colon and a space.
const LINE_ALLOWANCE: usize = 16;

/// The most capacity that is kept between lines, in bytes.
const KEPT_CAPACITY: usize = 16 * 1024;

#[cfg(test)]
mod tests;
