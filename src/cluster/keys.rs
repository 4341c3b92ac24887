//! The cluster's keys: they name what is stored in the engine, and tell own messages from foreign ones.
//!
//! The first key names and signs. While the key is changed there is a second one, with which messages are verified too.
//! Each use has a context of its own, so a message of one kind never passes for one of another.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};

use super::engine::LogId;
use crate::secret::Secret;
use crate::stream::StreamIdentity;

/// One or two keys of the cluster.
pub struct ClusterKeys {
    first: Key,
    second: Option<Key>,
    /// The same keys as inputs of HKDF, in the same order.
    salts: Vec<Salt>,
}

/// The name of a ticket in the engine, and the key that seals what it stands for.
pub(super) struct TicketKey {
    name: [u8; 32],
    seal: RandomizedNonceKey,
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
    /// A revocation, or its removal.
    Revocation,
    /// The name of a stream that equal requests share.
    Request,
}

impl ClusterKeys {
    /// Takes the first key, and a second one if there are more.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(keys: &[Secret]) -> Self {
        let key = |secret: &Secret| Key::new(HMAC_SHA256, secret.reveal());
        let first = keys.first().map(key).expect("a cluster has a key");
        let salt = |secret: &Secret| Salt::new(HKDF_SHA256, secret.reveal());
        Self { first, second: keys.get(1).map(key), salts: keys.iter().take(2).map(salt).collect() }
    }

    /// Returns the name of a stream's log in the engine.
    pub fn log_id(&self, identity: &StreamIdentity) -> LogId {
        self.log_name(b"rillgate log\0", &identity.0)
    }

    /// Returns the name of the log of what equal requests share, from their digest or the name that they share.
    pub(super) fn request_id(&self, about: &[u8]) -> LogId {
        self.log_name(b"rillgate request\0", about)
    }

    fn log_name(&self, purpose: &[u8], about: &[u8]) -> LogId {
        let tag = sign(&self.first, &[purpose, about].concat());
        LogId(tag.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Returns the names under which a revocation is stored: the one to write, then the one of the second key.
    pub(super) fn revocation_names(&self, id: &[u8]) -> impl Iterator<Item = [u8; 32]> {
        let message = [b"rillgate revocation name\0", id].concat();
        self.all().map(move |key| whole_tag(key, &message))
    }

    /// Returns the names and keys of a ticket: the ones to write with, then those of the second key.
    pub(super) fn ticket_keys(&self, ticket: &str) -> impl Iterator<Item = TicketKey> {
        let message = [b"rillgate ticket name\0", ticket.as_bytes()].concat();
        self.all().zip(&self.salts).map(move |(key, salt)| {
            let seal = salt.extract(ticket.as_bytes());
            let seal = seal.expand(&[b"rillgate ticket seal"], &AES_256_GCM).expect("HKDF gives more than one key");
            let mut bytes = [0; 32];
            seal.fill(&mut bytes).expect("the key has the length that was asked for");
            let seal = RandomizedNonceKey::new(&AES_256_GCM, &bytes).expect("the key has 32 bytes");
            TicketKey { name: whole_tag(key, &message), seal }
        })
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.second)
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
        self.all().any(|key| verify(key, &bytes, tag).is_ok()).then_some(message)
    }
}

impl TicketKey {
    /// Returns the name.
    pub(super) fn name(&self) -> [u8; 32] {
        self.name
    }

    /// Encrypts the content and adds its nonce and tag. `None`: there were no random bytes, or it is far too long.
    pub(super) fn seal(&self, content: &mut Vec<u8>) -> Option<()> {
        let nonce = self.seal.seal_in_place_append_tag(Aad::from(&self.name), content).ok()?;
        content.extend_from_slice(nonce.as_ref());
        Some(())
    }

    /// Returns the content, or `None` if it was not sealed with this key for this name.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (sealed, nonce) = sealed.split_at_checked(sealed.len().checked_sub(NONCE_LEN)?)?;
        let mut content = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = self.seal.open_in_place(nonce, Aad::from(&self.name), &mut content).ok()?.len();
        content.truncate(length);
        Some(content)
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
        SignedKind::Revocation => b"rillgate revocation record\0",
        SignedKind::Request => b"rillgate request record\0",
    };
    [context, &(about.len() as u64).to_le_bytes(), about, message].concat()
}

/// Signs a message and returns the tag.
fn whole_tag(key: &Key, message: &[u8]) -> [u8; 32] {
    sign(key, message).as_ref().try_into().expect("SHA-256 has 32 bytes")
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
    fn a_ticket_is_sealed_for_its_name_and_its_keys() {
        let ticket_key = |keys: &ClusterKeys, ticket, at| keys.ticket_keys(ticket).nth(at).expect("a key");
        let (old, both) = (keys(b"o"), keys(b"no"));
        let key = ticket_key(&old, "ticket", 0);
        let mut sealed = b"content".to_vec();
        key.seal(&mut sealed).expect("random bytes");

        assert_eq!(key.open(&sealed).as_deref(), Some(b"content".as_slice()));
        let second = ticket_key(&both, "ticket", 1);
        assert_eq!((second.name(), second.open(&sealed).as_deref()), (key.name(), Some(b"content".as_slice())));
        for other in [ticket_key(&both, "ticket", 0), ticket_key(&old, "ticket2", 0)] {
            assert_ne!(other.name(), key.name());
            assert_eq!(other.open(&sealed), None);
        }
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(key.open(&damaged), None, "{at}");
            assert_eq!(key.open(&sealed[..at]), None, "{at}");
        }
    }

    #[test]
    fn a_log_is_named_with_the_first_key() {
        let identity = StreamIdentity([7; 32]);

        assert_eq!(keys(b"no").log_id(&identity), keys(b"n").log_id(&identity));
        assert_ne!(keys(b"no").log_id(&identity), keys(b"o").log_id(&identity));
    }
}
