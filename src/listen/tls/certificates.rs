//! Certificates: loading and checking them, and choosing one by server name.
//!
//! A key that does not match its certificate is refused when it is loaded, not at the first handshake.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::listen::settings::CertificateFiles;

/// The reasons for which a certificate cannot be used. They name the file and never show a key.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or is not PEM.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Chain and key can be read, and do not match or cannot be used.
    #[error("{chain} and {key}: {reason}")]
    Pair {
        /// The chain's file.
        chain: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The reason.
        reason: String,
    },
}

/// Reads a PEM file of certificates. Returns at least one.
///
/// # Errors
/// See [`CertificateError`].
pub fn read_certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let file = |reason: String| CertificateError::File { path: path.clone(), reason };
    let pem = fs::read(path).map_err(|error| file(error.to_string()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| file(format!("not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(file("no PEM certificate found".to_owned()));
    }
    Ok(certificates)
}

/// Reads a chain and its key.
///
/// # Errors
/// See [`CertificateError`].
pub fn load(files: &CertificateFiles) -> Result<Arc<CertifiedKey>, CertificateError> {
    let chain = read_certificates(&files.chain)?;
    let file = |reason: String| CertificateError::File { path: files.key.clone(), reason };
    let pem = fs::read(&files.key).map_err(|error| file(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| file("no PEM private key found".to_owned()))?;
    let pair = |reason: String| CertificateError::Pair { chain: files.chain.clone(), key: files.key.clone(), reason };
    let certified =
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| pair(error.to_string()))?;
    Ok(Arc::new(certified))
}

/// Chooses a certificate by server name. The first one is the fallback, also for clients that send no name.
#[derive(Debug)]
pub(super) struct Certificates(Vec<Arc<CertifiedKey>>);

impl Certificates {
    /// Creates a resolver. There must be at least one certificate.
    pub(super) fn new(certificates: Vec<Arc<CertifiedKey>>) -> Self {
        debug_assert!(!certificates.is_empty(), "a listener with TLS has a certificate");
        Self(certificates)
    }

    fn for_name(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = ServerName::try_from(name).ok()?;
        self.0.iter().find(|certified| covers(certified, &name)).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.server_name().and_then(|name| self.for_name(name)).or_else(|| self.0.first().cloned())
    }
}

fn covers(certified: &CertifiedKey, name: &ServerName<'_>) -> bool {
    certified
        .cert
        .first()
        .and_then(|leaf| ParsedCertificate::try_from(leaf).ok())
        .is_some_and(|leaf| verify_server_name(&leaf, name).is_ok())
}

/// Returns the end of the leaf certificate's validity (RFC 5280, 4.1.2.5). Returns `None` if it cannot be read.
pub(super) fn expiry(certified: &CertifiedKey) -> Option<SystemTime> {
    let (_, leaf) = X509Certificate::from_der(certified.cert.first()?).ok()?;
    let seconds = u64::try_from(leaf.validity().not_after.timestamp()).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_is_read_from_the_certificate() {
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
        parameters.not_after = rcgen::date_time_ymd(2031, 2, 28);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key in DER");

        let certified = CertifiedKey::from_der(vec![certificate.der().clone()], key, &aws_lc_rs::default_provider())
            .expect("a pair");

        // 2031-02-28T00:00:00Z
        assert_eq!(expiry(&certified), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_930_003_200)));
    }
}
