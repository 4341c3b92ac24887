//! Making tokens, for development and tests: `rillgate token`.
//!
//! The gateway never signs anything while it serves; this is the other side, so that a token for a try-out needs no
//! identity provider. Time comes in as an argument. Does not read files.

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

/// A key that signs. Does not print.
pub struct SigningKey {
    key: EncodingKey,
    algorithm: Algorithm,
}

/// What a token shall say.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    /// `iss`.
    pub issuer: String,
    /// `aud`: a string if it is one, else an array.
    pub audience: Vec<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// From now to `exp`.
    pub ttl: Duration,
    /// More claims. They win over those above, so that odd tokens can be made for tests.
    pub claims: Map<String, Value>,
    /// `kid` in the header.
    pub kid: Option<String>,
    /// `typ` in the header. Default `JWT`.
    pub typ: Option<String>,
}

/// Why no token can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// A public key cannot sign.
    #[error("the file holds no private key")]
    NotPrivate,
    /// A private key that is neither RSA (2048 bits or more), P-256, P-384 nor Ed25519.
    #[error("the private key is none of RSA (2048 bits or more), P-256, P-384, Ed25519")]
    Unsuited,
    /// The algorithm is for another kind of key.
    #[error("{0:?} cannot be used with this kind of key")]
    Family(Algorithm),
    /// A secret that is too short.
    #[error("a secret has at least 32 bytes")]
    ShortSecret,
    /// An expiry beyond what can be written.
    #[error("the ttl is too long")]
    Ttl,
    /// No randomness for `jti`.
    #[error("the system gives no random numbers")]
    Random,
    /// The key did not sign.
    #[error("the key cannot sign: {0}")]
    Sign(String),
}

impl SigningKey {
    /// The key in a file: PEM, or else the raw bytes of a shared secret.
    ///
    /// Without an `algorithm` it is RS256, ES256, ES384, EdDSA or HS256, as the key is.
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
            // A damaged PEM file is no secret.
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

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Signs any header and payload, however odd.
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

/// An ECDSA key in PKCS#8, or in the older SEC 1 form of `EC PRIVATE KEY`.
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

/// Makes the token. It gets a random `jti`, so that it can be revoked by itself.
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
