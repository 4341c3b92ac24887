//! Parsing of bytes to events (HTML standard, 9.2.6, "Interpreting an event stream").
//!
//! The items do not depend on how the bytes were split: a line is interpreted when its end arrives, never earlier or
//! later. Memory is bounded by twice the largest event, for any input. A larger event is discarded and reported, and
//! the text of comments and unknown fields is not kept. Bytes that are not UTF-8 become U+FFFD where the standard's
//! decoder would put them: line ends, the colon and the space are ASCII and end every ill-formed sequence, so decoding
//! one value alone gives the same text as decoding the whole stream.
//!
//! Does not reconnect, keep time or know whether an end of the stream was expected. An unfinished event at the end is
//! dropped with the parser.

use std::mem;
use std::time::Duration;

use memchr::{memchr, memchr2};

use super::block::Block;
use super::{EventId, Item};

/// An incremental parser for one response body.
#[derive(Debug)]
pub struct Parser {
    limit: usize,
    /// The beginning of a line whose end has not arrived.
    buffered: Vec<u8>,
    /// The kind of the current line, if the rest of it no longer matters and is skipped.
    skipping: Option<Line>,
    /// The last line ended in CR. A following LF belongs to the same line end.
    after_carriage_return: bool,
    /// No line is complete yet, so the next one may begin with a byte order mark.
    at_start: bool,
    block: Block,
    last_event_id: EventId,
    comments: u64,
    /// The prefix of the comments that are reported as items.
    comment_prefix: Option<&'static str>,
}

/// The kind of a line, judged by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Too few bytes have arrived to tell.
    Incomplete,
    Comment,
    Field(Name),
    /// A field that the standard ignores.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Data,
    Event,
    Id,
    Retry,
}

impl Parser {
    /// Starts at the beginning of a stream whose events hold at most `max_event_bytes` of data, type and id together.
    ///
    /// A line may be longer by 16 bytes, so that an event of the maximum size fits on one line.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            limit: max_event_bytes,
            buffered: Vec::new(),
            skipping: None,
            after_carriage_return: false,
            at_start: true,
            block: Block::default(),
            last_event_id: EventId::default(),
            comments: 0,
            comment_prefix: None,
        }
    }

    /// Reports comments with this prefix after the colon and a space, if at most 64 bytes follow the prefix.
    pub fn with_comment_prefix(self, prefix: &'static str) -> Self {
        Self { comment_prefix: Some(prefix), ..self }
    }

    /// Parses more bytes and appends the items that they complete to `items`, at most one for each byte.
    pub fn push(&mut self, mut rest: &[u8], items: &mut Vec<Item>) {
        while let Some(&first) = rest.first() {
            if mem::take(&mut self.after_carriage_return) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr2(b'\r', b'\n', rest) else {
                self.buffer(rest);
                return;
            };
            self.after_carriage_return = rest[end] == b'\r';
            if self.buffered.is_empty() && self.skipping.is_none() {
                self.line(&rest[..end], items);
            } else {
                self.buffer(&rest[..end]);
                match self.skipping.take() {
                    Some(skipped) => self.comments += u64::from(skipped == Line::Comment),
                    None => self.buffered_line(items),
                }
            }
            rest = &rest[end + 1..];
        }
    }

    /// Returns the last event id after the last completed block. Empty at the beginning.
    pub fn last_event_id(&self) -> &EventId {
        &self.last_event_id
    }

    /// Returns the number of comments. They only show that the producer is alive, so their text is not kept.
    pub fn comments(&self) -> u64 {
        self.comments
    }

    /// Returns the memory of the event and the line that are not complete, in bytes.
    pub fn memory(&self) -> usize {
        self.buffered.capacity() + self.block.memory()
    }

    fn buffered_line(&mut self, items: &mut Vec<Item>) {
        let mut buffered = mem::take(&mut self.buffered);
        self.line(&buffered, items);
        // Releases the memory that a large event needed and keeps the memory that ordinary lines need.
        if buffered.capacity() <= RETAINED_CAPACITY {
            buffered.clear();
            self.buffered = buffered;
        }
    }

    /// Buffers a part of a line whose end has not arrived, unless it no longer matters.
    fn buffer(&mut self, bytes: &[u8]) {
        if self.skipping.is_some() {
            return;
        }
        let len = self.buffered.len() + bytes.len();
        let start: Vec<u8> = self.buffered.iter().chain(bytes).take(LINE_ALLOWANCE).copied().collect();
        let kind = self.classify(&start);
        let is_skipped = match kind {
            Line::Incomplete => false,
            Line::Comment => len > self.captured_limit(),
            Line::Unknown => true,
            Line::Field(name) => {
                let is_skipped = len > self.line_limit();
                if is_skipped {
                    self.oversized_field(name);
                }
                is_skipped
            }
        };
        if is_skipped {
            (self.skipping, self.at_start, self.buffered) = (Some(kind), false, Vec::new());
            return;
        }
        if len > self.buffered.capacity() {
            // Doubles, but never beyond the limit, which is the promised bound on memory.
            let capacity = len.max(self.buffered.capacity() * 2).min(self.line_limit()).max(len);
            self.buffered.reserve_exact(capacity - self.buffered.len());
        }
        self.buffered.extend_from_slice(bytes);
    }

    fn classify(&self, start: &[u8]) -> Line {
        let line = match start.strip_prefix(BYTE_ORDER_MARK) {
            Some(line) if self.at_start => line,
            _ if self.at_start && BYTE_ORDER_MARK.starts_with(start) => return Line::Incomplete,
            _ => start,
        };
        match memchr(b':', line) {
            Some(0) => Line::Comment,
            Some(colon) => Name::of(&line[..colon]).map_or(Line::Unknown, Line::Field),
            // No known field has a longer name.
            None if line.len() > LONGEST_NAME => Line::Unknown,
            None => Line::Incomplete,
        }
    }

    /// Handles a field whose value exceeds the limit.
    fn oversized_field(&mut self, name: Name) {
        match name {
            Name::Data => self.block.oversized_data(),
            Name::Event => self.block.oversized_kind(),
            Name::Id => self.block.oversized_id(),
            // The value has more digits than any number within the bound.
            Name::Retry => {}
        }
    }

    fn line_limit(&self) -> usize {
        self.limit.saturating_add(LINE_ALLOWANCE)
    }

    fn captured_limit(&self) -> usize {
        self.comment_prefix.map_or(0, |prefix| prefix.len() + CAPTURED_MORE)
    }

    /// Interprets one line without its end.
    fn line(&mut self, whole: &[u8], items: &mut Vec<Item>) {
        let mut line = whole;
        if mem::take(&mut self.at_start) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            items.extend(self.end_block());
            return;
        }
        let (name, value) = match memchr(b':', line) {
            Some(0) => {
                let comment_prefix = self.comment_prefix.filter(|_| whole.len() <= self.captured_limit());
                let value = line[1..].strip_prefix(b" ").unwrap_or(&line[1..]);
                match comment_prefix.and_then(|prefix| value.strip_prefix(prefix.as_bytes())) {
                    Some(more) => items.push(Item::Comment(String::from_utf8_lossy(more).into_owned().into())),
                    None => self.comments += 1,
                }
                return;
            }
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &line[line.len()..]),
        };
        let Some(name) = Name::of(name) else { return };
        if whole.len() > self.line_limit() {
            return self.oversized_field(name);
        }
        match name {
            Name::Data => self.block.add_data(value, self.limit),
            Name::Event => self.block.set_kind(value, self.limit),
            Name::Id => self.block.set_id(value, self.limit),
            Name::Retry => items.extend(reconnection_time(value).map(Item::Retry)),
        }
    }

    fn end_block(&mut self) -> Option<Item> {
        let item = mem::take(&mut self.block).end()?;
        let id = match &item {
            Item::Event(event) => event.id.as_ref(),
            Item::Id(id) | Item::Skipped(Some(id)) => Some(id),
            Item::Skipped(None) | Item::Retry(_) | Item::Comment(_) => None,
        };
        if let Some(id) = id {
            self.last_event_id = id.clone();
        }
        Some(item)
    }
}

impl Name {
    fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"data" => Some(Self::Data),
            b"event" => Some(Self::Event),
            b"id" => Some(Self::Id),
            b"retry" => Some(Self::Retry),
            _ => None,
        }
    }
}

/// Parses the value of a `retry` field: one or more ASCII digits, without sign or space.
fn reconnection_time(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let most = u64::from(u32::MAX);
    let milliseconds = value.iter().fold(0_u64, |number, digit| (number * 10 + u64::from(digit - b'0')).min(most));
    Some(Duration::from_millis(milliseconds))
}

/// The byte order mark. The standard's decoder strips it from the first three bytes of the stream alone.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The room of a line beyond the largest event: a byte order mark, the longest field name, a colon and a space.
const LINE_ALLOWANCE: usize = 16;

/// The length of `event` and `retry`.
const LONGEST_NAME: usize = 5;

/// The room of a reported comment beyond its prefix, including the colon and the space.
const CAPTURED_MORE: usize = 64 + 2;

/// The largest capacity that is kept between lines, in bytes.
const RETAINED_CAPACITY: usize = 16 * 1024;

#[cfg(test)]
mod tests;
