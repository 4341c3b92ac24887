//! The outside of a token: three parts, a header, a payload (RFC 7515, compact serialisation).
//!
//! Everything here is read before any signature is checked, so nothing here is believed: the header only says which
//! configured key to try. A header that brings a key, or demands something not understood, is refused. Does not know
//! issuers, keys or claims.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::json;
use crate::auth::denied::TokenFault;

/// Longest `kid`, in bytes.
pub const MAX_KID: usize = 256;

/// A token taken apart, not yet verified.
pub struct Unverified<'t> {
    /// `alg`, as far as it is one that a key could be configured for. Never `none`.
    pub algorithm: Algorithm,
    /// `kid`.
    pub kid: Option<String>,
    /// `typ`.
    pub typ: Option<String>,
    /// The payload's bytes.
    pub payload: Vec<u8>,
    /// The payload's members.
    pub claims: Map<String, Value>,
    /// What was signed: header and payload as they came.
    pub message: &'t str,
    /// The signature as it came, known to be canonical base64url.
    pub signature: &'t str,
}

/// In plain words, for an explanation.
impl fmt::Display for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed with {:?}", self.algorithm)?;
        match &self.kid {
            Some(kid) => write!(f, ", kid {kid:?}")?,
            None => write!(f, ", without a kid")?,
        }
        match &self.typ {
            Some(typ) => write!(f, ", typ {typ:?}"),
            None => Ok(()),
        }
    }
}

/// Takes `token` apart, which the caller has found short enough.
///
/// # Errors
/// [`TokenFault::Malformed`], [`TokenFault::Header`] or [`TokenFault::Algorithm`].
pub fn parse(token: &str) -> Result<Unverified<'_>, TokenFault> {
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenFault::Malformed);
    };
    let message = &token[..header.len() + 1 + payload.len()];
    let header = json::object(&decode(header)?).map_err(|_| TokenFault::Malformed)?;
    let payload = decode(payload)?;
    decode(signature)?;

    // Nothing but these says something that we act on, and ignoring the others would mean to accept a token that its
    // issuer meant otherwise: crit (RFC 7515, 4.1.11), b64 (RFC 7797), zip and enc (encrypted tokens), cty (a token
    // within the token), and every way to bring one's own key.
    // A certificate's thumbprint (x5t) is let pass: widespread issuers send it beside kid, and it brings no key.
    const REFUSED: [&str; 10] = ["crit", "b64", "zip", "enc", "epk", "cty", "jwk", "jku", "x5u", "x5c"];
    let algorithm = match header.get("alg") {
        Some(Value::String(name)) => algorithm(name).ok_or(TokenFault::Algorithm)?,
        _ => return Err(TokenFault::Malformed),
    };
    if header.keys().any(|name| REFUSED.contains(&name.as_str())) {
        return Err(TokenFault::Header);
    }
    let kid = text(&header, "kid")?;
    if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID || kid.chars().any(char::is_control)) {
        return Err(TokenFault::Malformed);
    }
    let typ = text(&header, "typ")?;
    let claims = json::object(&payload).map_err(|_| TokenFault::Malformed)?;
    Ok(Unverified { algorithm, kid, typ, payload, claims, message, signature })
}

/// Refuses padding, other alphabets, white space, and trailing bits: one signature has one spelling.
fn decode(part: &str) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Malformed)
}

fn text(header: &Map<String, Value>, name: &str) -> Result<Option<String>, TokenFault> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(TokenFault::Malformed),
    }
}

/// The algorithm of this name, case-sensitively (RFC 7515, 4.1.1), if a key can be configured for it.
pub fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "HS256" => Algorithm::HS256,
        "HS384" => Algorithm::HS384,
        "HS512" => Algorithm::HS512,
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_makes_the_reader_panic(text in ".{0,200}", header in ".{0,80}", payload in "[{}\\[\\]\":,a-z0-9]{0,80}") {
            let _ = parse(&text);
            let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
            let _ = parse(&format!("{}.{}.", encode(&header), encode(&payload)));
            let _ = parse(&format!("{}.{}.", encode("{\"alg\":\"ES256\"}"), encode(&payload)));
        }

        #[test]
        fn what_is_read_is_what_was_sent(kid in "[ -~]{0,256}", subject in ".{0,100}", signature: Vec<u8>) {
            let header = serde_json::json!({ "alg": "ES256", "kid": kid }).to_string();
            let payload = serde_json::json!({ "sub": subject }).to_string();
            let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&payload));
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));

            let read = parse(&token).expect("a token");

            prop_assert_eq!(read.message, message.as_str());
            prop_assert_eq!(read.kid.as_deref(), Some(kid.as_str()));
            prop_assert_eq!(&read.payload, payload.as_bytes());
            prop_assert_eq!(read.claims["sub"].as_str(), Some(subject.as_str()));
        }
    }
}
