//! A revocation in the engine, or its removal, signed with the cluster's key.
//!
//! Decoding never panics and trusts nothing that was not signed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::auth::{ClaimPath, Revocation, RevocationId};
use crate::cluster::RecordError;
use crate::cluster::keys::{ClusterKeys, SignedKind};
use crate::stream::{BinaryDecoder, BinaryEncoder};

/// One change of the revocations, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RevocationRecord {
    /// Random for each start of a gateway.
    pub writer: u64,
    /// The sequence of the record that this one copies under another key. `None`: its own sequence orders it.
    pub copied: Option<u64>,
    /// The change.
    pub change: RevocationChange,
}

/// A change of the revocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RevocationChange {
    /// Tokens are refused.
    Revoked(Revocation),
    /// A revocation was taken back. It is remembered until the end of the time, so that nobody restores the revocation.
    Removed(RevocationId, SystemTime),
}

impl RevocationChange {
    /// Returns the id of the revocation.
    pub(super) fn id(&self) -> RevocationId {
        match self {
            Self::Revoked(revocation) => RevocationId::of(&revocation.claim, &revocation.value),
            Self::Removed(id, _) => *id,
        }
    }

    /// Returns the time until which the engine has to keep it. `None`: for ever.
    pub(super) fn until(&self) -> Option<SystemTime> {
        match self {
            Self::Revoked(revocation) => revocation.until,
            Self::Removed(_, until) => Some(*until),
        }
    }
}

impl RevocationRecord {
    /// Encodes the record and signs it for the name that it is stored under.
    pub(super) fn encode(&self, keys: &ClusterKeys, name: &[u8; 32]) -> Bytes {
        let mut encoder = BinaryEncoder::default();
        encoder.byte(FORMAT).number(self.writer).optional(self.copied);
        match &self.change {
            RevocationChange::Revoked(Revocation { claim, value, until }) => {
                let until = until.map(seconds);
                encoder.byte(REVOKED).bytes(claim.as_str().as_bytes()).bytes(value.as_bytes()).optional(until);
            }
            RevocationChange::Removed(id, until) => {
                encoder.byte(REMOVED).bytes(id.as_bytes()).number(seconds(*until));
            }
        }
        keys.sign(SignedKind::Revocation, name, encoder.into_bytes()).into()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// It is foreign, of a later format, or damaged.
    pub(super) fn decode(keys: &ClusterKeys, name: &[u8; 32], bytes: &[u8]) -> Result<Self, RecordError> {
        let message = keys.verify(SignedKind::Revocation, name, bytes).ok_or(RecordError::Signature)?;
        match message.first() {
            Some(&FORMAT) => decode_message(message).ok_or(RecordError::Damaged),
            Some(&format) => Err(RecordError::Format(format)),
            None => Err(RecordError::Damaged),
        }
    }
}

fn decode_message(message: &[u8]) -> Option<RevocationRecord> {
    let mut decoder = BinaryDecoder::unchecked(message);
    decoder.byte()?;
    let (writer, copied) = (decoder.number()?, decoder.optional()?);
    let change = match decoder.byte()? {
        REVOKED => {
            let claim = ClaimPath::parse(decoder.text()?).ok()?;
            let value = decoder.text().filter(|value| (1..=MAX_VALUE).contains(&value.len()))?.to_owned();
            let until = match decoder.optional()? {
                None => None,
                Some(until) => Some(time(until)?),
            };
            RevocationChange::Revoked(Revocation { claim, value, until })
        }
        REMOVED => {
            let id = RevocationId::from_bytes(decoder.bytes()?.try_into().ok()?);
            RevocationChange::Removed(id, time(decoder.number()?)?)
        }
        _ => return None,
    };
    decoder.is_at_end().then_some(RevocationRecord { writer, copied, change })
}

/// Whole seconds since 1970, rounded up.
fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().saturating_add(u64::from(since.subsec_nanos() > 0))
}

fn time(seconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

const FORMAT: u8 = 1;
const REVOKED: u8 = 1;
const REMOVED: u8 = 2;

/// As for a posted revocation.
const MAX_VALUE: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::secret::Secret;

    const NAME: [u8; 32] = [3; 32];

    fn keys(bytes: &[u8]) -> ClusterKeys {
        ClusterKeys::new(&bytes.iter().map(|byte| Secret::new([*byte; 32])).collect::<Vec<_>>())
    }

    fn change() -> impl Strategy<Value = RevocationChange> {
        let until = || (0_u64..1 << 40).prop_map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        let revoked = ("[a-z]{1,9}", "\\PC{1,99}", proptest::option::of(until())).prop_map(|(claim, value, until)| {
            RevocationChange::Revoked(Revocation { claim: ClaimPath::parse(&claim).expect("a claim"), value, until })
        });
        let removed = (any::<[u8; 32]>(), until())
            .prop_map(|(id, until)| RevocationChange::Removed(RevocationId::from_bytes(id), until));
        prop_oneof![revoked, removed]
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written_with_either_key(
            writer in any::<u64>(),
            copied in any::<Option<u64>>(),
            change in change(),
        ) {
            let record = RevocationRecord { writer, copied, change };
            let bytes = record.encode(&keys(b"o"), &NAME);

            prop_assert_eq!(RevocationRecord::decode(&keys(b"o"), &NAME, &bytes), Ok(record.clone()));
            prop_assert_eq!(RevocationRecord::decode(&keys(b"no"), &NAME, &bytes), Ok(record));
            prop_assert_eq!(RevocationRecord::decode(&keys(b"n"), &NAME, &bytes), Err(RecordError::Signature));
            prop_assert_eq!(RevocationRecord::decode(&keys(b"o"), &[4; 32], &bytes), Err(RecordError::Signature));
        }

        #[test]
        fn a_changed_record_is_foreign(change in change(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let record = RevocationRecord { writer: 1, copied: None, change };
            let mut bytes = record.encode(&keys(b"o"), &NAME).to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;

            prop_assert_eq!(RevocationRecord::decode(&keys(b"o"), &NAME, &bytes), Err(RecordError::Signature));
        }

        #[test]
        fn any_signed_bytes_are_a_record_or_an_error(mut bytes in vec(any::<u8>(), 0..120), is_known in any::<bool>()) {
            if is_known && !bytes.is_empty() {
                bytes[0] = FORMAT;
            }
            let signed = keys(b"o").sign(SignedKind::Revocation, &NAME, bytes);
            let _ = RevocationRecord::decode(&keys(b"o"), &NAME, &signed);
        }
    }
}
