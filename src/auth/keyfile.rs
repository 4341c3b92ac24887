//! Keys in files, and noticing that a file is another.
//!
//! A file is another if its identity, size or time of change is: that also sees a symbolic link that was moved, as a
//! Kubernetes secret's is. At most 1 MiB is read. Does not watch; the issuer looks from time to time.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jsonwebtoken::Algorithm;

use super::jwks::{self, MAX_DOCUMENT};
use super::keys::Key;
use super::settings::KeySource;
use super::source::SourceError;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl From<Metadata> for Stamp {
    fn from(found: Metadata) -> Self {
        Self { inode: (found.dev(), found.ino()), size: found.size(), changed: (found.mtime(), found.mtime_nsec()) }
    }
}

/// The file's stamp; none if it is not there.
pub async fn stamp(path: &Path) -> Option<Stamp> {
    tokio::fs::metadata(path).await.ok().map(Stamp::from)
}

/// As [`stamp`], for the time before there is a runtime.
pub fn stamp_now(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(Stamp::from)
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
pub fn load(path: &Path, settings: &KeySource, allowed: &[Algorithm]) -> Result<Vec<Key>, SourceError> {
    let bytes =
        read(path, MAX_DOCUMENT).map_err(|source| SourceError::File { path: path.display().to_string(), source })?;
    match settings {
        KeySource::PemFile { algorithm, kid, .. } => Ok(vec![Key::from_pem(&bytes, *algorithm, kid.clone())?]),
        KeySource::JwksFile(_) | KeySource::JwksUrl { .. } | KeySource::Secret { .. } => {
            Ok(jwks::parse(&bytes, allowed)?.keys)
        }
    }
}
