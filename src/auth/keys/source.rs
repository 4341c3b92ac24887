//! One source of an issuer's keys: a URL, a file or a secret.
//!
//! Keeps the last good keys. Does not refresh itself; the issuer does.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};

use super::fetch::{self, FetchError};
use super::file;
use super::key_set::VerificationKey;
use super::refresh_schedule::RefreshSchedule;
use super::source_error::SourceError;
use crate::auth::settings::KeySource;
use crate::runtime::file_watch::FileStamp;

/// One entry of `issuers.NAME.keys` with the keys that it has given.
pub(super) struct LoadedKeySource {
    /// The last good keys. `None` until the first success. Never held across an await.
    pub keys: Mutex<Option<Vec<VerificationKey>>>,
    /// The stamp of the file when it was loaded.
    pub stamp: Option<FileStamp>,
    /// The refresh schedule, if the source is a URL.
    pub schedule: Option<RefreshSchedule>,
    /// The TLS client for the URL, if the source has certificate authorities of its own.
    pub tls: Option<Arc<ClientConfig>>,
    /// Whether the last refresh failed.
    pub is_stale: Mutex<bool>,
}

impl LoadedKeySource {
    /// Loads a file or a secret. A URL has no keys yet.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(super) fn load(settings: &KeySource, allowed: &[Algorithm]) -> Result<Self, SourceError> {
        let mut tls = None;
        let (keys, stamp, schedule) = match settings {
            KeySource::JwksUrl { url, refresh, authorities } => {
                if !fetch::is_allowed(url) {
                    return Err(FetchError::Scheme.into());
                }
                tls = authorities.as_ref().map(|roots| fetch::tls_trusting(RootCertStore::clone(roots)));
                (None, None, Some(RefreshSchedule::new(url.clone(), *refresh)))
            }
            KeySource::JwksFile(path) | KeySource::PemFile { path, .. } => {
                let stamp = FileStamp::of(path);
                (Some(file::load(path, settings, allowed)?), stamp, None)
            }
            KeySource::Secret { secret, algorithm, kid } => {
                (Some(vec![VerificationKey::from_secret(secret.reveal(), *algorithm, kid.clone())?]), None, None)
            }
        };
        Ok(Self { keys: Mutex::new(keys), stamp, schedule, tls, is_stale: Mutex::new(false) })
    }
}
