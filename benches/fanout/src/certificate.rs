//! A certificate for all servers of a run, and the clients that trust it.

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::Outcome;

const CHAIN: &str = "chain.pem";
const KEY: &str = "key.pem";

/// Makes `chain.pem` and `key.pem` (ECDSA P-256), and `both.pem` for haproxy.
pub fn make(folder: &Path) -> Outcome<()> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    std::fs::write(folder.join(CHAIN), certificate.pem())?;
    std::fs::write(folder.join(KEY), key.serialize_pem())?;
    std::fs::write(folder.join("both.pem"), certificate.pem() + &key.serialize_pem())?;
    Ok(())
}

/// The clients' TLS settings: TLS 1.3, AES-128-GCM, X25519 with every server, and no resumption unless requested.
pub fn client(folder: &Path, is_http2: bool) -> Outcome<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join(CHAIN))?)?;
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![if is_http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(Arc::new(config))
}

/// The ceiling's TLS settings: rustls' defaults, without tickets.
pub fn server(folder: &Path) -> Outcome<Arc<ServerConfig>> {
    let chain = vec![CertificateDer::from_pem_file(folder.join(CHAIN))?];
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
