//! The id of a revocation: a digest of its claim and value.
//!
//! The same claim and value have the same id in every process, so an id survives a restart and is the same on all
//! gateways. The end is not part of it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use crate::auth::token::claims::ClaimPath;

/// SHA-256 of a claim and a value. Written as 64 lowercase hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationId([u8; SHA256_OUTPUT_LEN]);

impl RevocationId {
    /// Computes the id for a claim, as it is written, and its value.
    pub fn of(claim: &ClaimPath, value: &str) -> Self {
        let mut text = Vec::with_capacity(16 + claim.as_str().len() + value.len());
        for part in [claim.as_str(), value] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        let mut id = [0; SHA256_OUTPUT_LEN];
        id.copy_from_slice(digest(&SHA256, &text).as_ref());
        Self(id)
    }

    /// Takes the bytes of an id.
    pub fn from_bytes(bytes: [u8; SHA256_OUTPUT_LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of the id.
    pub fn as_bytes(&self) -> &[u8; SHA256_OUTPUT_LEN] {
        &self.0
    }

    /// Parses 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; SHA256_OUTPUT_LEN];
        if text.len() != 2 * id.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for RevocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(claim: &str, value: &str) -> String {
        RevocationId::of(&ClaimPath::parse(claim).expect("a claim"), value).to_string()
    }

    #[test]
    fn the_same_claim_and_value_have_the_same_id_in_every_process() {
        // printf '\0\0\0\0\0\0\0\003jti\0\0\0\0\0\0\0\002t1' | sha256sum
        assert_eq!(id("jti", "t1"), "22c47e4502a88d2ac8556b61b19b97301d43591a9a9485f21f1fbfe6567be040");
    }

    #[test]
    fn another_claim_or_value_has_another_id() {
        let ids =
            [id("jti", "ab"), id("sub", "ab"), id("jti", "a"), id("jtia", "b"), id("/jti", "ab"), id("jti", "AB")];

        for (slot, one) in ids.iter().enumerate() {
            assert!(!ids[..slot].contains(one), "{one}");
        }
    }

    #[test]
    fn an_id_is_64_hex_digits_and_nothing_else() {
        let good = id("jti", "t1");
        assert_eq!(RevocationId::parse(&good.to_uppercase()), RevocationId::parse(&good));
        for bad in ["", "00", &good[1..], &format!("{good}0"), &format!("+{}", &good[1..]), &format!("é{}", &good[2..])]
        {
            assert_eq!(RevocationId::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_formatted_id_parses_to_the_same_id(value in ".{1,40}") {
            let id = RevocationId::of(&ClaimPath::parse("sub").expect("a claim"), &value);
            prop_assert_eq!(RevocationId::parse(&id.to_string()), Some(id));
        }
    }
}
