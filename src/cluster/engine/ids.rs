//! The names under which the engine stores things.

use std::fmt;

/// The name of a stream's log: 128 bits, keyed with the cluster's key. It tells nothing about path, claims or secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub [u8; 16]);

/// The kinds of records for authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthKind {
    /// Tickets.
    Ticket,
    /// Revocations.
    Revocation,
}

/// The name of a ticket or a revocation: 256 bits, keyed with the cluster's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuthKey {
    /// The kind.
    pub kind: AuthKind,
    /// The name.
    pub name: [u8; 32],
}

impl LogId {
    /// Reads the form that `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

impl AuthKind {
    /// Returns the word for the kind.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Revocation => "revoked",
        }
    }
}

impl AuthKey {
    /// Reads the name in the form that `Display` writes.
    pub fn parse(kind: AuthKind, name: &str) -> Option<Self> {
        parse_hex(name).map(|name| Self { kind, name })
    }
}

/// Writes 32 hexadecimal digits.
impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Writes the name in 64 hexadecimal digits, without the kind.
impl fmt::Display for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads exactly `N` bytes in lower-case hexadecimal digits.
fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let id = LogId([0xa5; 16]);
        assert_eq!(LogId::parse(&id.to_string()), Some(id));
        let key = AuthKey { kind: AuthKind::Ticket, name: [0x0f; 32] };
        assert_eq!(AuthKey::parse(AuthKind::Ticket, &key.to_string()), Some(key));
    }

    #[test]
    fn other_lengths_and_digits_are_no_name() {
        for text in ["", "a5", &"A5".repeat(16), &"+5".repeat(16), &"zz".repeat(16), &"a5".repeat(17)] {
            assert_eq!(LogId::parse(text), None, "{text}");
        }
    }
}
