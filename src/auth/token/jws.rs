//! The parts of a token: header, payload and signature (RFC 7515, compact serialisation).
//!
//! All of this is read before the signature is verified, so none of it is trusted: the header only selects which
//! configured key to try. A header that brings a key, or demands an unsupported feature, is refused. Does not know
//! issuers, keys or the meaning of claims.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::json;
use crate::auth::denied::TokenFault;

/// Maximum length of `kid` in bytes.
pub(crate) const MAX_KID: usize = 256;

/// A parsed token whose signature has not been verified.
pub struct Unverified<'t> {
    /// `alg`, one that a key can be configured for. Never `none`.
    pub algorithm: Algorithm,
    /// `kid`.
    pub kid: Option<String>,
    /// `typ`.
    pub typ: Option<String>,
    /// The bytes of the payload.
    pub payload: Vec<u8>,
    /// The members of the payload.
    pub claims: Map<String, Value>,
    /// The signed text: header and payload as received.
    pub message: &'t str,
    /// The signature as received; known to be canonical base64url.
    pub signature: &'t str,
}

/// Describes the header in plain words, for an explanation.
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

/// Parses `token`. The caller has checked its length.
///
/// # Errors
/// [`TokenFault::Malformed`], [`TokenFault::Header`] or [`TokenFault::Algorithm`].
pub(crate) fn parse(token: &str) -> Result<Unverified<'_>, TokenFault> {
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenFault::Malformed);
    };
    let message = &token[..header.len() + 1 + payload.len()];
    let header = json::object(&decode(header)?).map_err(|_| TokenFault::Malformed)?;
    let payload = decode(payload)?;
    decode(signature)?;

    // To ignore these members would be to accept a token that its issuer meant otherwise: crit (RFC 7515, 4.1.11), b64
    // (RFC 7797), zip and enc (encrypted tokens), cty (a token within the token), and every way to bring a key along. A
    // certificate's thumbprint (x5t) is harmless: it brings no key, and widespread issuers send it beside kid.
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

/// Decodes base64url. Refuses padding, other alphabets, white space and trailing bits, so that a signature has only one
/// spelling.
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

/// Returns the algorithm with this case-sensitive name (RFC 7515, 4.1.1) if a key can be configured for it.
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
        fn no_input_makes_the_parser_panic(text in ".{0,200}", header in ".{0,80}", payload in "[{}\\[\\]\":,a-z0-9]{0,80}") {
            let _ = parse(&text);
            let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
            let _ = parse(&format!("{}.{}.", encode(&header), encode(&payload)));
            let _ = parse(&format!("{}.{}.", encode("{\"alg\":\"ES256\"}"), encode(&payload)));
        }

        #[test]
        fn a_parsed_token_equals_the_one_sent(kid in "[ -~]{0,256}", subject in ".{0,100}", signature: Vec<u8>) {
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
