//! Signs tokens for development and tests: `rillgate token`.
//!
//! The gateway itself never signs anything. With this, a trial needs no identity provider. The time is an argument.
//! Does not read files.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey};
use serde_json::{Map, Value, json};

use super::keys::key_set::MIN_SECRET;
use super::pem;

/// A private key or shared secret that signs tokens. Implements no `Debug`.
pub struct SigningKey {
    key: EncodingKey,
    algorithm: Algorithm,
}

/// The contents of a token to be signed.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    /// `iss`.
    pub issuer: String,
    /// `aud`: a string if there is one audience, otherwise an array.
    pub audience: Vec<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// Time from now to `exp`.
    pub ttl: Duration,
    /// Additional claims. They override those above, so that tests can make odd tokens.
    pub claims: Map<String, Value>,
    /// `kid` in the header.
    pub kid: Option<String>,
    /// `typ` in the header. Default `JWT`.
    pub typ: Option<String>,
}

/// The reason why a token cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The file holds a public key, which cannot sign.
    #[error("the file contains no private key")]
    NotPrivate,
    /// The private key is neither RSA (2048 bits or more), P-256, P-384 nor Ed25519.
    #[error("the private key must be RSA (2048 bits or more), P-256, P-384 or Ed25519")]
    Unsuited,
    /// The algorithm belongs to another kind of key.
    #[error("{0:?} cannot be used with this kind of key")]
    Family(Algorithm),
    /// The secret is too short.
    #[error("a secret must have at least 32 bytes")]
    ShortSecret,
    /// The expiry is too large to be represented.
    #[error("the ttl is too long")]
    Ttl,
    /// The system provides no random bytes for `jti`.
    #[error("the system provides no random numbers")]
    Random,
    /// The key failed to sign.
    #[error("the key cannot sign: {0}")]
    Sign(String),
}

impl SigningKey {
    /// Reads a key from the contents of a file: PEM, or the raw bytes of a shared secret.
    ///
    /// Without an `algorithm`, the kind of key decides: RS256, ES256, ES384, EdDSA or HS256.
    ///
    /// # Errors
    /// See [`MintError`].
    pub fn read(file: &[u8], algorithm: Option<Algorithm>) -> Result<Self, MintError> {
        match pem::sections(file) {
            Ok(sections) => {
                let private = sections.into_iter().find(|(label, _)| label.ends_with("PRIVATE KEY"));
                let (label, der) = private.ok_or(MintError::NotPrivate)?;
                Self::from_der(&label, &der, algorithm)
            }
            // A damaged PEM file must not be taken for a secret.
            Err(pem::NotPem) if file.trim_ascii_start().starts_with(b"-----BEGIN") => Err(MintError::Unsuited),
            Err(pem::NotPem) => Self::from_secret(file, algorithm),
        }
    }

    fn from_secret(secret: &[u8], algorithm: Option<Algorithm>) -> Result<Self, MintError> {
        let algorithm = algorithm.unwrap_or(Algorithm::HS256);
        if algorithm.family() != AlgorithmFamily::Hmac {
            return Err(MintError::Family(algorithm));
        }
        if secret.len() < MIN_SECRET {
            return Err(MintError::ShortSecret);
        }
        Ok(Self { key: EncodingKey::from_secret(secret), algorithm })
    }

    fn from_der(label: &str, der: &[u8], algorithm: Option<Algorithm>) -> Result<Self, MintError> {
        let (key, own) = if let Some(found) = elliptic(label, der) {
            found
        } else if Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).is_ok() {
            (EncodingKey::from_ed_der(der), Algorithm::EdDSA)
        } else {
            let pair = aws_lc_rs::rsa::KeyPair::from_pkcs8(der).or_else(|_| aws_lc_rs::rsa::KeyPair::from_der(der));
            pair.map_err(|_| MintError::Unsuited)?;
            (EncodingKey::from_rsa_pem(&pem::encode(label, der)).map_err(|_| MintError::Unsuited)?, Algorithm::RS256)
        };
        let algorithm = algorithm.unwrap_or(own);
        let fits = match own.family() {
            AlgorithmFamily::Rsa => algorithm.family() == AlgorithmFamily::Rsa,
            AlgorithmFamily::Hmac | AlgorithmFamily::Ec | AlgorithmFamily::Ed => algorithm == own,
        };
        if fits { Ok(Self { key, algorithm }) } else { Err(MintError::Family(algorithm)) }
    }

    /// Returns the algorithm that the key signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Signs any header and payload, valid or not.
    ///
    /// # Errors
    /// [`MintError::Sign`].
    pub fn sign(&self, header: &[u8], payload: &[u8]) -> Result<String, MintError> {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm)
            .map_err(|error| MintError::Sign(error.to_string()))?;
        Ok(format!("{message}.{signature}"))
    }
}

/// Reads an ECDSA key in PKCS#8, or in the older SEC 1 form of `EC PRIVATE KEY`.
fn elliptic(label: &str, der: &[u8]) -> Option<(EncodingKey, Algorithm)> {
    let curves =
        [(&ECDSA_P256_SHA256_FIXED_SIGNING, Algorithm::ES256), (&ECDSA_P384_SHA384_FIXED_SIGNING, Algorithm::ES384)];
    curves.into_iter().find_map(|(curve, algorithm)| {
        if label == "EC PRIVATE KEY" {
            let pair = EcdsaKeyPair::from_private_key_der(curve, der).ok()?;
            let pkcs8 = pair.to_pkcs8v1().ok()?;
            return Some((EncodingKey::from_ec_der(pkcs8.as_ref()), algorithm));
        }
        EcdsaKeyPair::from_pkcs8(curve, der).ok().map(|_| (EncodingKey::from_ec_der(der), algorithm))
    })
}

/// Signs a token. It gets a random `jti`, so that it can be revoked alone.
///
/// # Errors
/// See [`MintError`].
pub fn mint(key: &SigningKey, spec: &TokenSpec, now: SystemTime) -> Result<String, MintError> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let expires_at = now.checked_add(spec.ttl.as_secs()).ok_or(MintError::Ttl)?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|_| MintError::Random)?;

    let mut header = json!({ "alg": key.algorithm, "typ": spec.typ.as_deref().unwrap_or("JWT") });
    if let Some(kid) = &spec.kid {
        header["kid"] = json!(kid);
    }
    let mut claims = json!({ "iss": spec.issuer, "iat": now, "exp": expires_at, "jti": URL_SAFE_NO_PAD.encode(id) });
    claims["aud"] = match spec.audience.as_slice() {
        [one] => json!(one),
        several => json!(several),
    };
    if let Some(subject) = &spec.subject {
        claims["sub"] = json!(subject);
    }
    for (name, value) in &spec.claims {
        claims[name] = value.clone();
    }
    key.sign(header.to_string().as_bytes(), claims.to_string().as_bytes())
}

#[cfg(test)]
mod tests;
