//! Proof that a token was valid and covered a stream.
//!
//! Only the authorizer makes one. A grant holds the token's payload rather than the token, in its smallest form: one is
//! kept for every open response, and its claims are read again only when something is revoked. Cloning is cheap.
//! `Debug` leaves the claims out.

mod form;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use jsonwebtoken::Algorithm;

use super::holder::Holder;
use super::keys::key_set::KeyFingerprint;
use super::token::claims::{ClaimPath, Claims};
use super::token::extract::TokenSource;
use super::token::json;
use crate::runtime::field_encoder::FieldEncoder;

pub(super) use form::GrantForm;

/// The authorization of one request. [`TrustStore::status`](super::TrustStore::status) tells whether it is still valid.
#[derive(Clone)]
pub struct Grant(Arc<Inner>);

struct Inner {
    issuer: Arc<str>,
    subject: Option<Arc<str>>,
    id: Option<Box<str>>,
    expires_at: SystemTime,
    key: (KeyFingerprint, Algorithm),
    payload: Box<[u8]>,
    typ: Option<Box<str>>,
    source: TokenSource,
}

/// The contents of a verified token, and the key that verified it.
pub(super) struct Verified {
    pub issuer: Arc<str>,
    pub expires_at: SystemTime,
    pub key: (KeyFingerprint, Algorithm),
    pub payload: Vec<u8>,
    pub typ: Option<String>,
    pub claims: Claims,
}

impl Grant {
    /// Makes a grant. Also returns the claims, which have been read already.
    pub(super) fn new(verified: Verified, source: TokenSource) -> (Self, Claims) {
        let text = |name| verified.claims.get(name).and_then(serde_json::Value::as_str);
        let grant = Self(Arc::new(Inner {
            subject: text("sub").map(Arc::from),
            id: text("jti").map(Box::from),
            issuer: verified.issuer,
            expires_at: verified.expires_at,
            key: verified.key,
            payload: verified.payload.into_boxed_slice(),
            typ: verified.typ.map(String::into_boxed_str),
            source,
        }));
        (grant, verified.claims)
    }

    /// Returns the issuer's name in the configuration.
    pub fn issuer(&self) -> &Arc<str> {
        &self.0.issuer
    }

    /// Returns `sub`.
    pub fn subject(&self) -> Option<&Arc<str>> {
        self.0.subject.as_ref()
    }

    /// Returns the holder of the token, for limits. Hashes the claims if the token has no `sub`.
    pub fn holder(&self) -> Holder {
        match self.subject() {
            Some(subject) => Holder::Subject(self.issuer().clone(), subject.clone()),
            None => Holder::of_claims(&self.0.payload),
        }
    }

    /// Returns a digest of the issuer and `sub`, the same for all tokens of a subject. Without `sub` it is one of the claims,
    /// except those that differ from token to token (`exp`, `iat`, `nbf`, `jti`).
    pub fn subject_digest(&self) -> [u8; 32] {
        let mut encoder = FieldEncoder::new("rillgate subject 1");
        encoder.text(self.issuer());
        match self.subject() {
            Some(subject) => {
                encoder.text("sub").text(subject);
            }
            None => {
                let claims = self.claims();
                let lasting = |name: &&String| !["exp", "iat", "nbf", "jti"].contains(&name.as_str());
                let mut names: Vec<_> = claims.members().keys().filter(lasting).collect();
                names.sort();
                encoder.text("claims").number(names.len());
                for name in names {
                    encoder.text(name).text(&claims.members()[name].to_string());
                }
            }
        }
        encoder.digest()
    }

    /// Returns `jti`.
    pub fn token_id(&self) -> Option<&str> {
        self.0.id.as_deref()
    }

    /// Returns the time at which the response must end: `exp` plus the issuer's leeway.
    pub fn expires_at(&self) -> SystemTime {
        self.0.expires_at
    }

    /// Returns the place of the token in the request.
    pub fn source(&self) -> &TokenSource {
        &self.0.source
    }

    /// Returns the `typ` of the token's header.
    pub(super) fn typ(&self) -> Option<&str> {
        self.0.typ.as_deref()
    }

    /// Parses and returns all claims. Cheap enough for a single check, not for every event.
    pub fn claims(&self) -> Claims {
        Claims::new(json::object(&self.0.payload).expect("the payload was parsed when the grant was made"))
    }

    /// Returns the claim at `path` if it is a string, a number or a boolean. `share.claims` sends it upstream.
    pub fn claim(&self, path: &ClaimPath) -> Option<String> {
        self.claims().text(path).map(std::borrow::Cow::into_owned)
    }

    pub(super) fn key(&self) -> (KeyFingerprint, Algorithm) {
        self.0.key
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("issuer", &self.0.issuer)
            .field("expires_at", &self.0.expires_at)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}
