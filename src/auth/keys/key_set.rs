//! Keys, and the choice of keys that a token is tried with.
//!
//! A key carries the algorithms that it is used with. They come from the configuration (RFC 8725, 3.1); the token's
//! `alg` must only agree. `kid` is an index into the set and nothing else, never a file or URL. Does not fetch.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    VerificationAlgorithm,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::failed_signatures::FailedSignatures;
use crate::auth::denied::TokenFault;
use crate::auth::pem;
use crate::auth::token::jws::Unverified;

/// Minimum length of a shared secret in bytes (RFC 7518, 3.2, for HS256).
pub const MIN_SECRET: usize = 32;

/// Maximum number of keys that one token is tried with.
const MAX_KEYS_TRIED: usize = 4;

/// Identifies a key by its material, so that a stream can check later whether the key is still trusted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyFingerprint([u8; 32]);

/// A key that verifies signatures.
#[derive(Clone)]
pub struct VerificationKey {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding_key: DecodingKey,
    fingerprint: KeyFingerprint,
}

/// The reason why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not PEM, or is damaged.
    #[error("not PEM, or damaged")]
    NotPem,
    /// The file has more than one section, so the intended one is ambiguous.
    #[error("the file has more than one PEM section")]
    SeveralSections,
    /// The key is private. A verifier must not hold a key that can sign.
    #[error("the file has a private key; use the public key")]
    Private,
    /// The section has an unsupported label.
    #[error("unsupported PEM section {0:?}; must be PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE")]
    Section(String),
    /// The key does not fit the algorithm's family or curve, or is an RSA key below 2048 or above 8192 bits.
    #[error("not a key for {0:?} (RSA: 2048 to 8192 bits; ES256: P-256; ES384: P-384; EdDSA: Ed25519)")]
    Unsuited(Algorithm),
    /// HMAC with a public key, or a secret with a public-key algorithm: the classic key confusion.
    #[error("{0:?} cannot be used with this kind of key")]
    Family(Algorithm),
    /// The secret is a PEM file. If it held a published key, anyone would know the secret.
    #[error("a secret must be random bytes, but this is a PEM file")]
    SecretIsPem,
    /// The secret is too short.
    #[error("a secret must have at least 32 bytes")]
    ShortSecret,
}

impl VerificationKey {
    /// Reads the public key, or the key of the certificate, in a PEM file.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_pem(text: &[u8], algorithm: Algorithm, kid: Option<String>) -> Result<Self, KeyError> {
        let mut sections = pem::sections(text).map_err(|pem::NotPem| KeyError::NotPem)?;
        if sections.iter().any(|(label, _)| label.ends_with("PRIVATE KEY")) {
            return Err(KeyError::Private);
        }
        let (label, der) = sections.pop().ok_or(KeyError::NotPem)?;
        if !sections.is_empty() {
            return Err(KeyError::SeveralSections);
        }
        match label.as_str() {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Self::from_der(&der, vec![algorithm], kid),
            "CERTIFICATE" => {
                let certificate = CertificateDer::from(der);
                let parsed = rustls::server::ParsedCertificate::try_from(&certificate)
                    .map_err(|_| KeyError::Unsuited(algorithm))?;
                Self::from_der(parsed.subject_public_key_info().as_ref(), vec![algorithm], kid)
            }
            _ => Err(KeyError::Section(label)),
        }
    }

    /// Makes a key of a shared secret.
    ///
    /// # Errors
    /// [`KeyError::ShortSecret`], [`KeyError::SecretIsPem`], [`KeyError::Family`].
    pub fn from_secret(secret: &[u8], algorithm: Algorithm, kid: Option<String>) -> Result<Self, KeyError> {
        if algorithm.family() != AlgorithmFamily::Hmac {
            return Err(KeyError::Family(algorithm));
        }
        if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Err(KeyError::SecretIsPem);
        }
        if secret.len() < MIN_SECRET {
            return Err(KeyError::ShortSecret);
        }
        let fingerprint = KeyFingerprint::of("secret", secret);
        Ok(Self { kid, algorithms: vec![algorithm], decoding_key: DecodingKey::from_secret(secret), fingerprint })
    }

    /// Makes a key of DER (SubjectPublicKeyInfo, or PKCS#1 for RSA) or, for the curves, of a raw point.
    ///
    /// All `algorithms` must belong to one family; for ECDSA there must be exactly one.
    ///
    /// # Errors
    /// [`KeyError::Unsuited`], [`KeyError::Family`].
    pub fn from_der(der: &[u8], algorithms: Vec<Algorithm>, kid: Option<String>) -> Result<Self, KeyError> {
        let first = *algorithms.first().ok_or(KeyError::Unsuited(Algorithm::RS256))?;
        let checked: &'static dyn VerificationAlgorithm = match first {
            Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
            Algorithm::EdDSA => &ED25519,
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => &RSA_PKCS1_2048_8192_SHA256,
            // `_`: algorithms that a later version of the library may add.
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 | _ => return Err(KeyError::Family(first)),
        };
        ParsedPublicKey::new(checked, der).map_err(|_| KeyError::Unsuited(first))?;
        let decoding_key = match first.family() {
            AlgorithmFamily::Rsa => {
                let bits = aws_lc_rs::rsa::PublicKey::from_der(der)
                    .map(|key| key.modulus_len() * 8)
                    .map_err(|_| KeyError::Unsuited(first))?;
                if !(2048..=8192).contains(&bits) {
                    return Err(KeyError::Unsuited(first));
                }
                DecodingKey::from_rsa_der(der)
            }
            AlgorithmFamily::Ec => DecodingKey::from_ec_der(der),
            AlgorithmFamily::Ed => DecodingKey::from_ed_der(der),
            AlgorithmFamily::Hmac => return Err(KeyError::Family(first)),
        };
        Ok(Self { kid, algorithms, decoding_key, fingerprint: KeyFingerprint::of("public", der) })
    }

    /// Returns the `kid` that a token must name.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Returns the fingerprint of the key's material.
    pub fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }

    /// Whether the key is used with `algorithm`.
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    fn verifies(&self, token: &Unverified<'_>) -> bool {
        self.allows(token.algorithm)
            && jsonwebtoken::crypto::verify(
                token.signature,
                token.message.as_bytes(),
                &self.decoding_key,
                token.algorithm,
            )
            .unwrap_or(false)
    }
}

impl KeyFingerprint {
    fn of(kind: &str, bytes: &[u8]) -> Self {
        let mut message = Vec::with_capacity(kind.len() + 1 + bytes.len());
        message.extend_from_slice(kind.as_bytes());
        message.push(0);
        message.extend_from_slice(bytes);
        Self(digest(&SHA256, &message).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}{:02x}…", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// All keys of one issuer at one moment.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
    /// Tokens that none of these keys verifies.
    failed: FailedSignatures,
}

impl KeySet {
    /// Makes a set of these keys.
    pub fn new(keys: Vec<VerificationKey>) -> Self {
        Self { keys, failed: FailedSignatures::default() }
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the set has no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the set has the key with this fingerprint, and still uses it with `algorithm`.
    pub fn trusts(&self, fingerprint: KeyFingerprint, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.fingerprint == fingerprint && key.allows(algorithm))
    }

    /// Whether `other` trusts every key of this set with at least the same algorithms.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.keys.iter().all(|key| key.algorithms.iter().all(|&algorithm| other.trusts(key.fingerprint, algorithm)))
    }

    /// Whether both sets have the same keys, in the same order and with the same use. Such sets decide alike.
    pub fn equals(&self, other: &Self) -> bool {
        let parts = |key: &VerificationKey| (key.kid.clone(), key.algorithms.clone(), key.fingerprint);
        self.keys.iter().map(parts).eq(other.keys.iter().map(parts))
    }

    /// Returns the key that signed `token`.
    ///
    /// A `kid` selects the keys that have it, or else those without a `kid`. If the token names none, the keys without
    /// a `kid` are tried first, then all others. At most four keys are tried.
    ///
    /// # Errors
    /// [`TokenFault::UnknownKey`], [`TokenFault::Algorithm`], [`TokenFault::Signature`].
    pub fn verify(&self, token: &Unverified<'_>) -> Result<&VerificationKey, TokenFault> {
        let usable = |key: &&VerificationKey| key.allows(token.algorithm);
        let unnamed = || self.keys.iter().filter(|key| key.kid.is_none()).filter(usable);
        let Some(kid) = token.kid.as_deref() else {
            let named = self.keys.iter().filter(|key| key.kid.is_some()).filter(usable);
            return self.first_that_verifies(token, unnamed().chain(named)).unwrap_or(Err(TokenFault::UnknownKey));
        };
        let mut named = self.keys.iter().filter(|key| key.kid() == Some(kid)).peekable();
        if named.peek().is_some() {
            return self.first_that_verifies(token, named.filter(usable)).unwrap_or(Err(TokenFault::Algorithm));
        }
        // If none of them signed it, the token may be signed with a key that has not been fetched yet.
        match self.first_that_verifies(token, unnamed()) {
            Some(Ok(key)) => Ok(key),
            Some(Err(_)) | None => Err(TokenFault::UnknownKey),
        }
    }

    /// Returns the first key that verifies the signature, or `None` if there are no keys. `keys` depends on the token
    /// alone, so the same token fails again, and is not tried.
    fn first_that_verifies<'k>(
        &self,
        token: &Unverified<'_>,
        keys: impl Iterator<Item = &'k VerificationKey>,
    ) -> Option<Result<&'k VerificationKey, TokenFault>> {
        let mut keys = keys.take(MAX_KEYS_TRIED).peekable();
        keys.peek()?;
        if self.failed.contains(token) {
            return Some(Err(TokenFault::Signature));
        }
        let found = keys.find(|key| key.verifies(token));
        if found.is_none() {
            self.failed.insert(token);
        }
        Some(found.ok_or(TokenFault::Signature))
    }
}

#[cfg(test)]
mod tests;
