//! The cluster's keys: they name what is stored in the engine, and tell own messages from foreign ones.
//!
//! The first key names and signs. While the key is changed there is a second one, with which messages are verified too.
//! Each use has a context of its own, so a message of one kind never passes for one of another.

use std::fmt;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};

use super::engine::LogId;
use crate::secret::Secret;
use crate::stream::StreamIdentity;

/// One or two keys of the cluster.
pub struct ClusterKeys {
    first: Key,
    second: Option<Key>,
}

/// The kind of a signed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignedKind {
    /// A record of a log.
    Record,
    /// The beat of a gateway.
    Beat,
    /// A question about a stream, its answer, or a change of its phase.
    Message,
}

impl ClusterKeys {
    /// Takes the first key, and a second one if there are more.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(keys: &[Secret]) -> Self {
        let key = |secret: &Secret| Key::new(HMAC_SHA256, secret.reveal());
        let first = keys.first().map(key).expect("a cluster has a key");
        Self { first, second: keys.get(1).map(key) }
    }

    /// Returns the name of a stream's log in the engine.
    pub fn log_id(&self, identity: &StreamIdentity) -> LogId {
        let tag = sign(&self.first, &[b"rillgate log\0", identity.0.as_slice()].concat());
        LogId(tag.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Appends the tag of a message. `about` is what the message is stored or sent under.
    pub(super) fn sign(&self, kind: SignedKind, about: &[u8], mut message: Vec<u8>) -> Vec<u8> {
        let tag = sign(&self.first, &signed_bytes(kind, about, &message));
        message.extend_from_slice(tag.as_ref());
        message
    }

    /// Returns the message without its tag, or `None` if it was not signed with one of these keys.
    pub(super) fn verify<'m>(&self, kind: SignedKind, about: &[u8], signed: &'m [u8]) -> Option<&'m [u8]> {
        let (message, tag) = signed.split_at_checked(signed.len().checked_sub(TAG_BYTES)?)?;
        let bytes = signed_bytes(kind, about, message);
        let is_own = [Some(&self.first), self.second.as_ref()];
        is_own.into_iter().flatten().any(|key| verify(key, &bytes, tag).is_ok()).then_some(message)
    }
}

/// Shows no key.
impl fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Returns what a tag covers.
fn signed_bytes(kind: SignedKind, about: &[u8], message: &[u8]) -> Vec<u8> {
    let context: &[u8] = match kind {
        SignedKind::Record => b"rillgate record\0",
        SignedKind::Beat => b"rillgate beat\0",
        SignedKind::Message => b"rillgate message\0",
    };
    [context, &(about.len() as u64).to_le_bytes(), about, message].concat()
}

/// Bytes of a tag.
pub(super) const TAG_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> ClusterKeys {
        let secrets: Vec<_> = bytes.iter().map(|byte| Secret::new([*byte; 32])).collect();
        ClusterKeys::new(&secrets)
    }

    #[test]
    fn a_message_is_verified_with_either_key_and_by_its_kind_and_name() {
        let (old, both, new) = (keys(b"o"), keys(b"no"), keys(b"n"));
        let signed = old.sign(SignedKind::Record, b"log", b"content".to_vec());

        assert_eq!(old.verify(SignedKind::Record, b"log", &signed), Some(b"content".as_slice()));
        assert_eq!(both.verify(SignedKind::Record, b"log", &signed), Some(b"content".as_slice()));
        assert_eq!(new.verify(SignedKind::Record, b"log", &signed), None);
        assert_eq!(old.verify(SignedKind::Beat, b"log", &signed), None);
        assert_eq!(old.verify(SignedKind::Record, b"other", &signed), None);
        for length in 0..signed.len() {
            assert_eq!(old.verify(SignedKind::Record, b"log", &signed[..length]), None);
        }
    }

    #[test]
    fn a_log_is_named_with_the_first_key() {
        let identity = StreamIdentity([7; 32]);

        assert_eq!(keys(b"no").log_id(&identity), keys(b"n").log_id(&identity));
        assert_ne!(keys(b"no").log_id(&identity), keys(b"o").log_id(&identity));
    }
}
