//! A value that must never appear in a log line, an error or a dump.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// Secret bytes, whose `Debug` output is `[redacted]`. Compare secrets with [`Self::is_same`].
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Creates a secret from `bytes`, without trimming them.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Returns true if both are the same, in a time that tells nothing but their lengths.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Returns the secret bytes.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
