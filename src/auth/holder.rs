//! The holder of a token: the unit for which a client's tickets and subscriptions are counted.
//!
//! Does not count.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

/// The holder of a token. Tokens of one holder share its limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// An issuer's name and its `sub`. A subject has no meaning without its issuer.
    Subject(Arc<str>, Arc<str>),
    /// The first half of the SHA-256 of the claims of a token without a subject. Without this, one such token could
    /// use up the room of all.
    Claims([u8; 16]),
}

// A holder is kept for every open response. A longer digest would make it larger than an issuer and a subject.
const _: () = assert!(size_of::<Holder>() == size_of::<(Arc<str>, Arc<str>)>());

impl Holder {
    /// Identifies a token by its payload.
    pub(super) fn of_claims(payload: &[u8]) -> Self {
        let whole = digest(&SHA256, payload);
        Self::Claims(*whole.as_ref().first_chunk().expect("SHA-256 has 32 bytes"))
    }
}
