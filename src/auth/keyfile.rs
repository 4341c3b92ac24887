//! Keys in files. At most 1 MiB is read. Does not watch; the issuer looks from time to time whether the stamp is another.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use jsonwebtoken::Algorithm;

use super::jwks::{self, MAX_DOCUMENT};
use super::key_source::SourceError;
use super::keys::VerificationKey;
use super::settings::KeySource;
use crate::runtime::file_watch::FileStamp;

/// The file's stamp; none if it is not there.
pub async fn stamp(path: &Path) -> Option<FileStamp> {
    tokio::fs::metadata(path).await.ok().map(FileStamp::from)
}

/// The bytes of the file, if they are not more than `most`.
///
/// # Errors
/// It cannot be read, or is too large.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most} bytes")));
    }
    Ok(bytes)
}

/// The keys in the file at `path`, which is what `settings` says it is.
///
/// # Errors
/// It cannot be read, or holds no keys.
pub fn load(path: &Path, settings: &KeySource, allowed: &[Algorithm]) -> Result<Vec<VerificationKey>, SourceError> {
    let bytes =
        read(path, MAX_DOCUMENT).map_err(|source| SourceError::File { path: path.display().to_string(), source })?;
    match settings {
        KeySource::PemFile { algorithm, kid, .. } => {
            Ok(vec![VerificationKey::from_pem(&bytes, *algorithm, kid.clone())?])
        }
        KeySource::JwksFile(_) | KeySource::JwksUrl { .. } | KeySource::Secret { .. } => {
            Ok(jwks::parse(&bytes, allowed)?.keys)
        }
    }
}
