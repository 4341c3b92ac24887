//! One source of an issuer's keys: a URL, a file, a secret.
//!
//! It holds the last good set that it gave. Does not refresh itself: the issuer does.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};

use super::fetch::{self, FetchError};
use super::jwks::DocumentError;
use super::keyfile;
use super::keys::{KeyError, VerificationKey};
use super::refresh_schedule::RefreshSchedule;
use super::settings::KeySource;
use crate::runtime::file_watch::FileStamp;

/// One entry of `issuers.NAME.keys`, and what it has given so far.
pub struct LoadedKeySource {
    /// The last good set; none as long as there was none. Never held across an await.
    pub held: Mutex<Option<Vec<VerificationKey>>>,
    /// The file's state when it was last read.
    pub stamp: Mutex<Option<FileStamp>>,
    /// When the URL is asked, if it is one.
    pub remote: Option<RefreshSchedule>,
    /// The TLS client for the URL, where its server is trusted by authorities of its own.
    pub tls: Option<Arc<ClientConfig>>,
    /// Whether the last attempt to read it anew failed.
    pub is_stale: Mutex<bool>,
}

impl LoadedKeySource {
    /// Reads what can be read at once: a file, a secret. A URL has given nothing yet.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn load(settings: &KeySource, allowed: &[Algorithm]) -> Result<Self, SourceError> {
        let mut tls = None;
        let (held, stamp, remote) = match settings {
            KeySource::JwksUrl { url, refresh, authorities } => {
                if !fetch::is_allowed(url) {
                    return Err(FetchError::Scheme.into());
                }
                tls = authorities.as_ref().map(|roots| fetch::tls_trusting(RootCertStore::clone(roots)));
                (None, None, Some(RefreshSchedule::new(url.clone(), *refresh)))
            }
            KeySource::JwksFile(path) | KeySource::PemFile { path, .. } => {
                let stamp = FileStamp::of(path);
                (Some(keyfile::load(path, settings, allowed)?), stamp, None)
            }
            KeySource::Secret { secret, algorithm, kid } => {
                (Some(vec![VerificationKey::from_secret(secret.reveal(), *algorithm, kid.clone())?]), None, None)
            }
        };
        Ok(Self { held: Mutex::new(held), stamp: Mutex::new(stamp), remote, tls, is_stale: Mutex::new(false) })
    }
}

/// A source of keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file or secret is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The document is no JWK Set.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The document could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl SourceError {
    /// The metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Key(_) => "key",
            Self::Document(DocumentError::NotAKeySet) => "document",
            Self::Document(DocumentError::NoUsableKey) => "no_keys",
            Self::Fetch(error) => error.kind(),
        }
    }

    /// It with its causes, on one line.
    pub(super) fn chain(&self) -> impl fmt::Display {
        Chain(self)
    }
}

/// An error with its causes, on one line.
struct Chain<'e>(&'e dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
