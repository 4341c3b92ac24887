//! Keys that the file may have but that this version does not act on.
//!
//! They are read and checked like all others, and refused at any value but the one that means "off", so that nobody
//! believes to be protected by a limit that is not enforced. A feature that lands removes its line here.

/// A key that does nothing yet.
pub(super) struct Unsupported {
    /// The key's path, with `[]` for any item of an array and `*` for any chosen name.
    pub(super) key: &'static str,
    /// The value that asks for nothing, if there is one.
    pub(super) off: Option<&'static str>,
    /// What is missing, in words.
    pub(super) words: &'static str,
}

const fn unsupported(key: &'static str, off: Option<&'static str>, words: &'static str) -> Unsupported {
    Unsupported { key, off, words }
}

/// All of them.
pub(super) const UNSUPPORTED: &[Unsupported] = &[
    unsupported("store", None, "event logs are kept in memory"),
    unsupported("routes[].replay.store", Some("memory"), "event logs are kept in memory"),
];
