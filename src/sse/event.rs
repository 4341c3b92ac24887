//! Events and ids of a `text/event-stream`, as values that are always valid to encode.
//!
//! Terms are those of the HTML standard, 9.2, "Server-sent events". Does not know bytes: see the parser and the
//! encoder.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A last event id: any text without NUL, LF and CR. Cheap to clone. Empty means "none", the standard's reset.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Arc<str>);

/// The error for a text that cannot be a last event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event id must not contain NUL, CR or LF")]
pub struct InvalidEventId;

impl EventId {
    /// Accepts a text of any length; its size counts towards the size limit of its event.
    ///
    /// # Errors
    /// The text contains NUL, CR or LF.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidEventId> {
        let text = text.into();
        if text.bytes().any(|byte| matches!(byte, 0 | b'\n' | b'\r')) {
            return Err(InvalidEventId);
        }
        Ok(Self(text))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text as bytes that share its allocation.
    pub fn bytes(&self) -> Bytes {
        Bytes::from_owner(self.clone())
    }

    /// Whether this is the "none" of the standard.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for EventId {
    fn default() -> Self {
        Self(Arc::from(""))
    }
}

impl AsRef<[u8]> for EventId {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Borrow<str> for EventId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// One dispatched event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The type. Empty means `message`.
    pub kind: String,
    /// The data, with lines joined by LF. May be empty.
    pub data: String,
    /// The value of the event's own `id` field, or `None` if it had none. A non-empty id stays in force after the
    /// event.
    pub id: Option<EventId>,
}
