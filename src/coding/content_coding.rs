//! A content coding (RFC 9110, 8.4.1).

/// A content coding in which event streams can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentCoding {
    /// gzip (RFC 1952): one member, deflate blocks that end at byte boundaries.
    Gzip,
    /// Zstandard (RFC 8878): frames, one after the other.
    Zstd,
}

impl ContentCoding {
    /// All codings, in the order of their discriminants.
    pub const ALL: [Self; 2] = [Self::Gzip, Self::Zstd];

    /// Returns the token of `Content-Encoding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}
