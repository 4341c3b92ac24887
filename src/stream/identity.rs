//! The identity of a stream: equal if and only if two streams have the same events under the same ids.

use std::fmt;

/// A SHA-256 digest of everything that decides which events a stream has. The same in every process, build and release,
/// so that it also names a stored log.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamIdentity(pub [u8; 32]);

/// Writes the first four bytes, which tell streams apart in a log.
impl fmt::Debug for StreamIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
