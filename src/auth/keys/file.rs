//! Key files. Reads at most 1 MiB. Does not watch them: the issuer compares their stamps.

use std::path::Path;

use jsonwebtoken::Algorithm;

use super::jwks::{self, MAX_DOCUMENT};
use super::key_set::VerificationKey;
use super::source_error::SourceError;
use crate::auth::polled_file;
use crate::auth::settings::KeySource;

/// Reads the keys in the file at `path`, in the format that `settings` names.
///
/// # Errors
/// The file cannot be read or contains no keys.
pub(super) fn load(
    path: &Path,
    settings: &KeySource,
    allowed: &[Algorithm],
) -> Result<Vec<VerificationKey>, SourceError> {
    let bytes = polled_file::read(path, MAX_DOCUMENT)
        .map_err(|source| SourceError::File { path: path.display().to_string(), source })?;
    match settings {
        KeySource::PemFile { algorithm, kid, .. } => {
            Ok(vec![VerificationKey::from_pem(&bytes, *algorithm, kid.clone())?])
        }
        KeySource::JwksFile(_) | KeySource::JwksUrl { .. } | KeySource::Secret { .. } => {
            Ok(jwks::parse(&bytes, allowed)?.keys)
        }
    }
}
