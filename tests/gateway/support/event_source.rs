//! An event source's parser, written only from the HTML standard (section 9.2, "Server-sent events"): the reference for
//! the gateway's output.
//!
//! Always true: any splitting of the same bytes gives the same items, and an item comes out with the last byte that
//! completes it. Unlike a browser it also returns comments and retry lines. It has no limits, because tests make its
//! input.

use std::time::Duration;

/// An event as an event source dispatches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `message` if the stream names none.
    pub kind: String,
    pub data: String,
    /// The last event id at the dispatch, from this event or an earlier one.
    pub last_event_id: String,
}

/// An item of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Event(Event),
    /// The text after the colon, unchanged.
    Comment(String),
    Retry(Duration),
}

/// An incremental parser; one per response.
#[derive(Debug, Default)]
pub struct EventSource {
    line: Vec<u8>,
    /// Whether the last byte was a CR that ended a line; an LF now belongs to it.
    after_carriage_return: bool,
    /// Whether no line has been read yet; only the first can start with a byte order mark.
    past_first_line: bool,
    data: String,
    kind: String,
    id: String,
    last_event_id: String,
}

impl EventSource {
    /// Parses the next bytes and returns the items that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Item> {
        let mut items = Vec::new();
        for &byte in bytes {
            let line_feed_of_pair = byte == b'\n' && self.after_carriage_return;
            self.after_carriage_return = byte == b'\r';
            if line_feed_of_pair {
                continue;
            }
            if byte == b'\n' || byte == b'\r' {
                let line = std::mem::take(&mut self.line);
                items.extend(self.take_line(&line));
            } else {
                self.line.push(byte);
            }
        }
        items
    }

    /// The id that a reconnecting event source would send: set by a blank line, even one that dispatches nothing.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Whether bytes have been read that no line end or blank line has completed.
    pub fn is_inside_event(&self) -> bool {
        !self.line.is_empty() || !self.data.is_empty() || !self.kind.is_empty()
    }

    fn take_line(&mut self, line: &[u8]) -> Option<Item> {
        let first = !std::mem::replace(&mut self.past_first_line, true);
        let line = if first { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line };
        // Line ends are ASCII, so decoding line by line gives the same as decoding the whole.
        let line = String::from_utf8_lossy(line);
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        if field.is_empty() {
            return Some(Item::Comment(value.to_owned()));
        }
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                return value.parse().ok().map(|milliseconds| Item::Retry(Duration::from_millis(milliseconds)));
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Item> {
        self.last_event_id.clone_from(&self.id);
        let (mut data, kind) = (std::mem::take(&mut self.data), std::mem::take(&mut self.kind));
        // Without its line feed: an event of one empty `data` line has a buffer of one line feed and is dispatched.
        data.pop()?;
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        Some(Item::Event(Event { kind, data, last_event_id: self.last_event_id.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Vec<Item> {
        EventSource::default().push(bytes)
    }

    fn event(kind: &str, data: &str, id: &str) -> Item {
        Item::Event(Event { kind: kind.into(), data: data.into(), last_event_id: id.into() })
    }

    #[test]
    fn the_examples_of_the_standard_are_parsed_as_it_says() {
        assert_eq!(parse(b"data: YHOO\ndata: +2\ndata: 10\n\n"), [event("message", "YHOO\n+2\n10", "")]);
        assert_eq!(
            parse(b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"),
            [
                Item::Comment(" test stream".into()),
                event("message", "first event", "1"),
                event("message", "second event", ""),
                event("message", " third event", ""),
            ]
        );
        assert_eq!(parse(b"data\n\ndata\ndata\n\ndata:"), [event("message", "", ""), event("message", "\n", "")]);
        assert_eq!(parse(b"data:test\n\ndata: test\n\n"), [event("message", "test", ""), event("message", "test", "")]);
    }

    #[test]
    fn every_splitting_gives_the_same_items() {
        let bytes = "\u{feff}event: ü\r\nid: 1\rdata: a\r\n\r\nretry: 10\r: c\n\rdata: b\n\n".as_bytes();
        let whole = parse(bytes);
        assert_eq!(whole.len(), 4);

        for at in 0..bytes.len() {
            let mut source = EventSource::default();
            let mut items = source.push(&bytes[..at]);
            items.extend(source.push(&bytes[at..]));
            assert_eq!(items, whole, "split at {at}");
        }
    }

    #[test]
    fn ids_types_and_retries_follow_the_special_rules() {
        assert_eq!(parse(b"id: 1\n\nid: 2\0\ndata: x\n\n"), [event("message", "x", "1")]);
        assert_eq!(parse(b"event: a\n\ndata: x\n\n"), [event("message", "x", "")]);
        assert_eq!(parse(b"retry: +5\nretry: 5x\nretry:\nretry: 007\n"), [Item::Retry(Duration::from_millis(7))]);
        assert_eq!(parse(b"data: \xFF\n\n"), [event("message", "\u{fffd}", "")]);
    }
}
