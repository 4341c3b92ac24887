//! A parser of JWK Set documents (RFC 7517).
//!
//! A key that cannot be used is skipped and counted; it never invalidates the others. The document's `alg` narrows the
//! algorithms that the configuration allows and never widens them. Symmetric and private keys are skipped, because
//! publishing them compromises them. Does not fetch.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde_json::{Map, Value};

use super::key_set::VerificationKey;
use crate::auth::token::json;
use crate::auth::token::jws::{self, MAX_KID};

/// Maximum size of a document in bytes.
pub(crate) const MAX_DOCUMENT: usize = 1024 * 1024;

/// Maximum number of keys taken from a document.
pub(crate) const MAX_KEYS: usize = 100;

/// A parsed document.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// The keys that can be used.
    pub keys: Vec<VerificationKey>,
    /// The number of keys that cannot be used.
    pub skipped: usize,
}

/// The reason why a document is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The document is not a JSON object with an array `keys`, or is larger than 1 MiB.
    #[error("not a JWK Set")]
    NotAKeySet,
    /// The document has keys, but none that can be used. (An empty array is valid: it removes all keys.)
    #[error("no key in the set can be used with the issuer's algorithms")]
    NoUsableKey,
}

/// Parses a document whose keys may be used with the `allowed` algorithms. HMAC among them has no effect.
///
/// # Errors
/// See [`DocumentError`].
pub(crate) fn parse(bytes: &[u8], allowed: &[Algorithm]) -> Result<Document, DocumentError> {
    if bytes.len() > MAX_DOCUMENT {
        return Err(DocumentError::NotAKeySet);
    }
    // Some tools write a byte order mark, contrary to RFC 8259, 8.1.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let document = json::object(bytes).map_err(|_| DocumentError::NotAKeySet)?;
    let Some(Value::Array(entries)) = document.get("keys") else { return Err(DocumentError::NotAKeySet) };
    let keys: Vec<VerificationKey> =
        entries.iter().filter_map(|entry| key(entry.as_object()?, allowed)).take(MAX_KEYS).collect();
    if keys.is_empty() && !entries.is_empty() {
        return Err(DocumentError::NoUsableKey);
    }
    let skipped = entries.len() - keys.len();
    Ok(Document { keys, skipped })
}

/// Whether the bytes are a JWK Set, even if none of its keys can be used.
pub fn is_key_set(bytes: &[u8]) -> bool {
    !matches!(parse(bytes, &[]), Err(DocumentError::NotAKeySet))
}

fn key(jwk: &Map<String, Value>, allowed: &[Algorithm]) -> Option<VerificationKey> {
    // "d" marks a private key and "k" a symmetric one.
    let is_for_signatures = match jwk.get("use") {
        None => true,
        Some(purpose) => purpose == "sig",
    };
    let is_for_verifying = match jwk.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
        Some(_) => false,
    };
    if !is_for_signatures || !is_for_verifying || jwk.contains_key("d") || jwk.contains_key("k") {
        return None;
    }
    let kid = match jwk.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= MAX_KID => Some(kid.clone()),
        Some(_) => return None,
    };
    let (suited, der): (fn(Algorithm) -> bool, Vec<u8>) = match (text(jwk, "kty")?, jwk.get("crv")) {
        ("RSA", _) => (|algorithm| algorithm.family() == AlgorithmFamily::Rsa, rsa(jwk)?),
        ("EC", Some(curve)) if curve == "P-256" => (|algorithm| algorithm == Algorithm::ES256, point(jwk, 32)?),
        ("EC", Some(curve)) if curve == "P-384" => (|algorithm| algorithm == Algorithm::ES384, point(jwk, 48)?),
        ("OKP", Some(curve)) if curve == "Ed25519" => {
            (|algorithm| algorithm == Algorithm::EdDSA, coordinate(jwk, "x", 32)?)
        }
        (_, _) => return None,
    };
    let own = match jwk.get("alg") {
        None => None,
        // RFC 9864 names EdDSA over Ed25519 "Ed25519"; tokens still say "EdDSA".
        Some(Value::String(name)) if name == "Ed25519" => Some(Algorithm::EdDSA),
        Some(Value::String(name)) => Some(jws::algorithm(name)?),
        Some(_) => return None,
    };
    let algorithms: Vec<Algorithm> = allowed
        .iter()
        .copied()
        .filter(|&algorithm| suited(algorithm) && own.is_none_or(|own| own == algorithm))
        .collect();
    VerificationKey::from_der(&der, algorithms, kid).ok()
}

/// Converts `n` and `e` (RFC 7518, 6.3.1) to SubjectPublicKeyInfo.
fn rsa(jwk: &Map<String, Value>) -> Option<Vec<u8>> {
    let (n, e) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
    // Some issuers prepend a zero byte, contrary to 6.3.1.1.
    let (n, e) = (without_zeros(&n), without_zeros(&e));
    if n.len() > 1024 || e.len() > 8 {
        return None;
    }
    let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?;
    Some(key.as_ref().to_vec())
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let first = number.iter().position(|&byte| byte != 0).unwrap_or(number.len());
    &number[first..]
}

/// Joins `x` and `y` (RFC 7518, 6.2.1) to an uncompressed point (SEC 1, 2.3.3).
fn point(jwk: &Map<String, Value>, size: usize) -> Option<Vec<u8>> {
    let mut point = vec![4];
    point.extend(coordinate(jwk, "x", size)?);
    point.extend(coordinate(jwk, "y", size)?);
    Some(point)
}

fn coordinate(jwk: &Map<String, Value>, name: &str, size: usize) -> Option<Vec<u8>> {
    bytes(jwk, name).filter(|bytes| bytes.len() == size)
}

/// Decodes base64url without padding (RFC 7515, 2). Also accepts padding and the standard alphabet, which some issuers
/// use: unlike a token, a key set is not chosen by an attacker, and the key is unambiguous.
fn bytes(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    let given = text(jwk, name)?;
    let bare = given.trim_end_matches('=');
    if given.len() - bare.len() > 2 {
        return None;
    }
    URL_SAFE_NO_PAD.decode(bare.replace('+', "-").replace('/', "_")).ok()
}

fn text<'j>(jwk: &'j Map<String, Value>, name: &str) -> Option<&'j str> {
    jwk.get(name)?.as_str()
}

#[cfg(test)]
mod tests;
