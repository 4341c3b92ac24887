//! The form of a grant in a ticket that another gateway may redeem.
//!
//! JSON with all that a grant holds. Its reader trusts it, so it must come from a gateway of the same cluster.

use std::time::SystemTime;

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};

use super::{Grant, Verified};
use crate::auth::keys::key_set::KeyFingerprint;
use crate::auth::token::claims::Claims;
use crate::auth::token::extract::TokenSource;
use crate::auth::token::json;

/// A grant that can be written and read.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::auth) struct GrantForm {
    issuer: String,
    expires_at: SystemTime,
    key: KeyFingerprint,
    algorithm: Algorithm,
    payload: String,
    typ: Option<String>,
    source: TokenSource,
}

impl GrantForm {
    /// Copies a grant.
    pub(in crate::auth) fn of(grant: &Grant) -> Self {
        let inner = &grant.0;
        Self {
            issuer: inner.issuer.to_string(),
            expires_at: inner.expires_at,
            key: inner.key.0,
            algorithm: inner.key.1,
            // JSON that was parsed is UTF-8.
            payload: String::from_utf8_lossy(&inner.payload).into_owned(),
            typ: inner.typ.as_deref().map(str::to_owned),
            source: inner.source.clone(),
        }
    }

    /// Makes the grant, or returns `None` if its claims cannot be read.
    pub(in crate::auth) fn into_grant(self) -> Option<Grant> {
        let payload = self.payload.into_bytes();
        let claims = Claims::new(json::object(&payload).ok()?);
        let verified = Verified {
            issuer: self.issuer.into(),
            expires_at: self.expires_at,
            key: (self.key, self.algorithm),
            payload,
            typ: self.typ,
            claims,
        };
        Some(Grant::new(verified, self.source).0)
    }
}
