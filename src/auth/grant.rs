//! The proof that a token was good and covered a stream.
//!
//! Only the authorizer makes one. It holds the token's payload, not the token, in the form in which it is smallest: one
//! is kept for every open response, and its claims are only looked at again when something is revoked. Cloning is
//! cheap. Prints without its claims.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use jsonwebtoken::Algorithm;

use super::keys::key_set::KeyFingerprint;
use super::token::claims::{ClaimPath, Claims};
use super::token::extract::TokenSource;
use super::token::json;

/// See the module.
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

/// What a verified token says, and what vouches for it.
pub(super) struct Verified {
    pub issuer: Arc<str>,
    pub expires_at: SystemTime,
    pub key: (KeyFingerprint, Algorithm),
    pub payload: Vec<u8>,
    pub typ: Option<String>,
    pub claims: Claims,
}

impl Grant {
    /// The grant, and the claims as they are already read.
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

    /// The issuer's name in the configuration.
    pub fn issuer(&self) -> &Arc<str> {
        &self.0.issuer
    }

    /// `sub`.
    pub fn subject(&self) -> Option<&Arc<str>> {
        self.0.subject.as_ref()
    }

    /// `jti`.
    pub fn token_id(&self) -> Option<&str> {
        self.0.id.as_deref()
    }

    /// When the response must end: `exp`, with the issuer's leeway.
    pub fn expires_at(&self) -> SystemTime {
        self.0.expires_at
    }

    /// Where the token stood in the request.
    pub fn source(&self) -> &TokenSource {
        &self.0.source
    }

    /// The `typ` of the token's header.
    pub(super) fn typ(&self) -> Option<&str> {
        self.0.typ.as_deref()
    }

    /// All claims, read anew: cheap for one question, not for one per event.
    pub fn claims(&self) -> Claims {
        Claims::new(json::object(&self.0.payload).expect("the payload was read when the grant was made"))
    }

    /// The claim at `path`, if it is a string, a number or a boolean: what `share.claims` sends upstream.
    pub fn claim(&self, path: &ClaimPath) -> Option<String> {
        self.claims().text(path).map(std::borrow::Cow::into_owned)
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.0.payload
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
