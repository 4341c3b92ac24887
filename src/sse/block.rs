//! The fields since the last blank line, within a size limit.
//!
//! A block that exceeds the limit is discarded: its text is freed at once, and only its id is kept.

use super::{Event, EventId, Item};

/// The fields since the last blank line.
#[derive(Debug, Default)]
pub(super) struct Block {
    kind: String,
    /// Absent until the first `data` field. An empty field makes an event, no field does not.
    data: Option<String>,
    id: Option<EventId>,
    is_too_large: bool,
    /// The last `id` field exceeded the limit.
    is_id_oversized: bool,
}

impl Block {
    /// Returns the memory of the fields so far, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.kind.capacity() + self.data.as_ref().map_or(0, String::capacity) + self.id_len()
    }

    pub(super) fn add_data(&mut self, value: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.kind.len() + self.id_len());
        let longer = match self.data.take() {
            _ if self.is_too_large => Some(String::new()),
            None => decode_onto(String::new(), value, room),
            Some(mut data) => push_within(&mut data, "\n", room).and_then(|()| decode_onto(data, value, room)),
        };
        match longer {
            Some(data) => self.data = Some(data),
            None => self.oversized_data(),
        }
    }

    pub(super) fn set_kind(&mut self, value: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.data_len() + self.id_len());
        match decode_onto(String::new(), value, room) {
            _ if self.is_too_large => {}
            Some(kind) => self.kind = kind,
            None => self.oversized_kind(),
        }
    }

    pub(super) fn set_id(&mut self, value: &[u8], limit: usize) {
        // The standard ignores an id that contains NUL, so its length does not count.
        if memchr::memchr(0, value).is_some() {
            return;
        }
        let Some(id) = decode_onto(String::new(), value, limit).and_then(|id| EventId::new(id).ok()) else {
            return self.oversized_id();
        };
        if !self.is_too_large && self.data_len() + self.kind.len() + id.as_str().len() > limit {
            self.discard();
        }
        (self.id, self.is_id_oversized) = (Some(id), false);
    }

    pub(super) fn oversized_data(&mut self) {
        self.discard();
        self.data = Some(String::new());
    }

    pub(super) fn oversized_kind(&mut self) {
        self.discard();
    }

    pub(super) fn oversized_id(&mut self) {
        (self.id, self.is_id_oversized) = (None, true);
    }

    fn discard(&mut self) {
        self.is_too_large = true;
        self.kind = String::new();
        self.data = self.data.take().map(|_| String::new());
    }

    /// Returns the item that the blank line completes.
    pub(super) fn end(self) -> Option<Item> {
        let Self { kind, data, id, is_too_large, is_id_oversized } = self;
        match data {
            _ if is_id_oversized => Some(Item::Skipped(None)),
            Some(_) if is_too_large => Some(Item::Skipped(id)),
            Some(data) => Some(Item::Event(Event { kind, data, id })),
            None => id.map(Item::Id),
        }
    }

    fn data_len(&self) -> usize {
        self.data.as_ref().map_or(0, String::len)
    }

    fn id_len(&self) -> usize {
        self.id.as_ref().map_or(0, |id| id.as_str().len())
    }
}

/// Decodes `value` and appends it to `text`, which may grow to `room` bytes. Returns `None` if it would exceed them.
fn decode_onto(mut text: String, value: &[u8], room: usize) -> Option<String> {
    // Decoding never shortens, so this rejects the value before anything is allocated.
    if text.len() + value.len() > room {
        return None;
    }
    // Validation alone is several times faster than the search for ill-formed sequences, and nearly always enough.
    if let Ok(value) = str::from_utf8(value) {
        push_within(&mut text, value, room)?;
        return Some(text);
    }
    for part in value.utf8_chunks() {
        push_within(&mut text, part.valid(), room)?;
        if !part.invalid().is_empty() {
            push_within(&mut text, "\u{FFFD}", room)?;
        }
    }
    Some(text)
}

fn push_within(text: &mut String, more: &str, room: usize) -> Option<()> {
    let len = text.len() + more.len();
    if len > room {
        return None;
    }
    if len > text.capacity() {
        let capacity = len.max(text.capacity() * 2).min(room).max(len);
        text.reserve_exact(capacity - text.len());
    }
    text.push_str(more);
    Some(())
}
