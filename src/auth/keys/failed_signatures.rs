//! The tokens whose signature an issuer's keys did not verify, remembered for a moment.
//!
//! A signature costs more to verify than the same token costs to send again, on HTTP/2 a few bytes. One instance belongs
//! to one [`KeySet`](super::key_set::KeySet), and the result of a verification depends on that set and the token alone,
//! so remembering it changes no decision. A set with other keys starts with an empty memory. Does not remember faults
//! that depend on the time, on revocations or on a fetch. Does not remember valid tokens.

use std::collections::HashSet;
use std::fmt;
use std::mem;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use jsonwebtoken::AlgorithmFamily;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::auth::token::jws::Unverified;

/// Most tokens that are remembered for one issuer. At 32 bytes each and with the tables, about 600 KB.
const MAX_REMEMBERED: usize = 10_000;

/// The longest time for which a token is remembered. The shortest is half of it, unless other tokens take its place.
const MEMORY_TIME: Duration = Duration::from_secs(10);

/// SHA-256 of a whole token.
type TokenDigest = [u8; SHA256_OUTPUT_LEN];

/// Tokens that failed the verification of their signature, by digest.
#[derive(Default)]
pub(super) struct FailedSignatures {
    /// Never held across an await, and not while a token is hashed.
    recent: Mutex<Recent>,
}

/// Two generations of digests. The older one is forgotten as a whole, so no entry needs a time of its own.
#[derive(Default)]
struct Recent {
    newer: HashSet<TokenDigest>,
    older: HashSet<TokenDigest>,
    /// The start of the newer generation. `None` before the first token.
    newer_since: Option<Instant>,
}

impl FailedSignatures {
    /// Returns whether the token's signature has failed lately. Hashes nothing while no token has.
    pub(super) fn contains(&self, token: &Unverified<'_>) -> bool {
        if is_cheap(token) || self.recent.lock().is_empty_at(Instant::now()) {
            return false;
        }
        let digest = digest(token);
        let recent = self.recent.lock();
        recent.newer.contains(&digest) || recent.older.contains(&digest)
    }

    /// Remembers that the token's signature has failed.
    pub(super) fn insert(&self, token: &Unverified<'_>) {
        if is_cheap(token) {
            return;
        }
        let digest = digest(token);
        self.recent.lock().insert(digest, Instant::now());
    }
}

impl Recent {
    fn insert(&mut self, digest: TokenDigest, now: Instant) {
        self.forget_old(now);
        if self.newer.len() >= MAX_REMEMBERED / 2 {
            self.older = mem::take(&mut self.newer);
            self.newer_since = None;
        }
        self.newer_since.get_or_insert(now);
        self.newer.insert(digest);
    }

    fn is_empty_at(&mut self, now: Instant) -> bool {
        self.forget_old(now);
        self.newer.is_empty() && self.older.is_empty()
    }

    fn forget_old(&mut self, now: Instant) {
        let Some(since) = self.newer_since else { return };
        let age = now.duration_since(since);
        if age >= MEMORY_TIME {
            *self = Self::default();
        } else if age >= MEMORY_TIME / 2 {
            self.older = mem::take(&mut self.newer);
            // Not `now`: the oldest of them would be remembered for longer than the bound.
            self.newer_since = Some(since + MEMORY_TIME / 2);
        }
    }
}

/// Whether verifying the token costs no more than looking it up: an HMAC is a digest itself.
fn is_cheap(token: &Unverified<'_>) -> bool {
    token.algorithm.family() == AlgorithmFamily::Hmac
}

fn digest(token: &Unverified<'_>) -> TokenDigest {
    let mut context = Context::new(&SHA256);
    for part in [token.message, ".", token.signature] {
        context.update(part.as_bytes());
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl fmt::Debug for FailedSignatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recent = self.recent.lock();
        f.debug_struct("FailedSignatures").field("tokens", &(recent.newer.len() + recent.older.len())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(number: usize) -> TokenDigest {
        let mut digest = [0; SHA256_OUTPUT_LEN];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        digest
    }

    impl Recent {
        fn has(&mut self, number: usize, now: Instant) -> bool {
            let digest = digest_of(number);
            !self.is_empty_at(now) && (self.newer.contains(&digest) || self.older.contains(&digest))
        }
    }

    #[test]
    fn a_token_is_remembered_for_five_to_ten_seconds() {
        let begun = Instant::now();
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let mut recent = Recent::default();
        recent.insert(digest_of(0), at(0));
        recent.insert(digest_of(1), at(4999));

        assert!(recent.has(0, at(4999)));
        assert!(recent.has(0, at(9998)), "the rotation was late and keeps the older one");
        assert!(recent.has(1, at(9999)));
        assert!(!recent.has(0, at(10_000)));
        assert!(!recent.has(1, at(10_000)));
        assert_eq!(recent.newer.capacity() + recent.older.capacity(), 0, "no memory stays");
    }

    #[test]
    fn tokens_that_never_stop_are_forgotten_after_ten_seconds_too() {
        let begun = Instant::now();
        let mut recent = Recent::default();

        for second in 0..100 {
            recent.insert(digest_of(second), begun + Duration::from_secs(second as u64));
            let now = begun + Duration::from_secs(second as u64);
            assert!(!recent.has(second.wrapping_sub(10), now));
            assert!((second.saturating_sub(4)..=second).all(|number| recent.has(number, now)));
        }
    }

    #[test]
    fn a_flood_of_different_tokens_is_remembered_up_to_the_bound() {
        let now = Instant::now();
        let mut recent = Recent::default();

        for number in 0..10 * MAX_REMEMBERED {
            recent.insert(digest_of(number), now);
            assert!(recent.newer.len() + recent.older.len() <= MAX_REMEMBERED);
        }

        assert!(recent.has(10 * MAX_REMEMBERED - 1, now));
        assert!(recent.has(10 * MAX_REMEMBERED - MAX_REMEMBERED / 2, now));
        assert!(!recent.has(0, now));
    }
}
