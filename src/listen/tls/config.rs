//! The TLS configuration of a listener, loaded from files and reloaded when they change.
//!
//! A reload replaces the whole configuration or nothing. Open connections keep theirs. Session tickets stay valid
//! across a reload, unless the client authorities change: a resumed session shows no client certificate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io;

use super::certificates::{self, CertificateError, Certificates};
use super::stream::{ReceivedHello, TlsStream};
use crate::listen::settings::{TlsSettings, TlsVersion};
use crate::runtime::file_watch::FilePoller;

/// The TLS configuration of one listener, shared by its connections.
pub struct Tls {
    settings: TlsSettings,
    current: ArcSwap<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    expiries: Vec<(PathBuf, SystemTime)>,
    /// The authorities of client certificates. Tickets are valid only as long as these are unchanged.
    client_roots: Vec<CertificateDer<'static>>,
}

/// The reasons for which a TLS configuration cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The authorities of client certificates cannot be used.
    #[error("{path}: {reason}")]
    ClientAuthority {
        /// Their file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// rustls rejects the configuration.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

impl Tls {
    /// Loads all files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(settings: TlsSettings) -> Result<Self, TlsError> {
        let loaded = load(&settings, None)?;
        Ok(Self { settings, current: ArcSwap::from_pointee(loaded) })
    }

    /// Loads all files again. Keeps the current configuration on an error.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = load(&self.settings, Some(&self.current.load()))?;
        self.current.store(Arc::new(loaded));
        Ok(())
    }

    /// Returns the files of the configuration, to watch them for changes.
    pub fn files(&self) -> FilePoller {
        let pairs = self.settings.certificates.iter().flat_map(|files| [files.chain.clone(), files.key.clone()]);
        FilePoller::new(pairs.chain(self.settings.client_ca.clone()))
    }

    /// Returns the end of each certificate's validity, with its file.
    pub fn expiries(&self) -> Vec<(PathBuf, SystemTime)> {
        self.current.load().expiries.clone()
    }

    /// Performs the TLS handshake that a client has begun. The caller bounds its time.
    ///
    /// # Errors
    /// Returns the error that ended the handshake.
    pub async fn accept(&self, hello: ReceivedHello) -> io::Result<TlsStream> {
        let config = self.current.load().config.clone();
        TlsStream::accept(config, hello).await
    }
}

fn load(settings: &TlsSettings, previous: Option<&Loaded>) -> Result<Loaded, TlsError> {
    let mut loaded = Vec::new();
    let mut expiries = Vec::new();
    for files in &settings.certificates {
        let certified = certificates::load(files)?;
        expiries.extend(certificates::expiry(&certified).map(|expiry| (files.chain.clone(), expiry)));
        loaded.push(certified);
    }
    let versions: &[&SupportedProtocolVersion] = match settings.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions)?;
    let mut client_roots = Vec::new();
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let invalid = |reason: String| TlsError::ClientAuthority { path: path.clone(), reason };
            client_roots = certificates::read_certificates(path)?;
            let mut roots = RootCertStore::empty();
            for certificate in &client_roots {
                roots.add(certificate.clone()).map_err(|error| invalid(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| invalid(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Certificates::new(loaded)));
    // HTTP/1.0 is an ALPN name as well, and some clients offer nothing else (curl --http1.0).
    config.alpn_protocols = [&b"h2"[..], b"http/1.1", b"http/1.0"].map(<[u8]>::to_vec).to_vec();
    // Tickets instead of stored sessions, so that absent clients need no memory.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = match previous.filter(|previous| previous.client_roots == client_roots) {
        Some(previous) => previous.config.ticketer.clone(),
        None => aws_lc_rs::Ticketer::new()?,
    };
    config.send_tls13_tickets = 1;
    // Early data can be replayed (RFC 8446, 8). A subscription must not be.
    config.max_early_data_size = 0;
    Ok(Loaded { config: Arc::new(config), expiries, client_roots })
}
