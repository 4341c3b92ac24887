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
    unsupported("routes[].replay.read_through", Some("false"), "an id older than the log is a gap"),
    unsupported("routes[].replay.read_through_limit", None, "an id older than the log is a gap"),
    unsupported("listeners[].systemd", None, "listeners bind their own address"),
    unsupported("listeners[].proxy_protocol", Some("false"), "connections begin with TLS or HTTP"),
];
