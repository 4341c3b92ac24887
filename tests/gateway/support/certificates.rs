//! Certificates made at run time: an authority, the certificates that it signs, and the TLS configurations that trust
//! it.
//!
//! Always true: every authority has its own keys and its own folder, which is removed with it; nothing is valid beyond
//! the test.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::WantsClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::server::{WantsServerCert, WebPkiClientVerifier};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, SupportedProtocolVersion, WantsVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tempfile::TempDir;

/// A certificate authority with the TLS configurations that trust it.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM files and in memory.
#[derive(Clone)]
pub struct Identity {
    pub chain: PathBuf,
    pub key: PathBuf,
    pub chain_pem: String,
    pub key_pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "rillgate test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    /// Returns the path of the authority's certificate, for a `ca_file` or `client_ca`.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Makes a server certificate for `localhost`, `127.0.0.1` and `::1`.
    pub fn server(&self) -> Identity {
        self.server_for("server", &["localhost", "127.0.0.1", "::1"])
    }

    /// Makes a server certificate for these host names and addresses, in files called `name`.
    pub fn server_for(&self, name: &str, subjects: &[&str]) -> Identity {
        self.sign(name, subjects, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Makes a client certificate with the common name `name`, in files called `name`.
    pub fn client(&self, name: &str) -> Identity {
        self.sign(name, &[name], ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Makes a server certificate for the same names that is valid only this long.
    pub fn server_until(&self, validity: Duration) -> Identity {
        let mut params = params(&["localhost", "127.0.0.1", "::1"]);
        params.not_after = (SystemTime::now() + validity).into();
        self.sign_params("brief", params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn sign(&self, name: &str, subjects: &[&str], usage: ExtendedKeyUsagePurpose) -> Identity {
        self.sign_params(name, params(subjects), usage)
    }

    fn sign_params(&self, name: &str, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Identity {
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let identity = Identity {
            chain: self.folder.path().join(format!("{name}.pem")),
            key: self.folder.path().join(format!("{name}.key")),
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        };
        std::fs::write(&identity.chain, &identity.chain_pem).unwrap();
        std::fs::write(&identity.key, &identity.key_pem).unwrap();
        identity
    }

    /// Returns a client configuration that trusts only this authority, without ALPN.
    pub fn client_config(&self) -> ClientConfig {
        self.client_builder().with_no_client_auth()
    }

    /// Returns a client configuration with a certificate of its own.
    pub fn client_config_as(&self, identity: &Identity) -> ClientConfig {
        self.client_builder().with_client_auth_cert(identity.chain_der(), identity.key_der()).unwrap()
    }

    /// Returns a client configuration for these versions only.
    pub fn client_config_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    fn client_builder(&self) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots())
    }
}

impl Identity {
    /// Returns a server configuration with this certificate and these ALPN protocols.
    pub fn server_config(&self, alpn: &[&str]) -> ServerConfig {
        self.finish(server_builder().with_no_client_auth(), alpn)
    }

    /// Returns a server configuration that requires client certificates of this authority.
    pub fn server_config_for_clients_of(&self, authority: &Authority, alpn: &[&str]) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), provider);
        self.finish(server_builder().with_client_cert_verifier(verifier.build().unwrap()), alpn)
    }

    fn finish(&self, builder: ConfigBuilder<ServerConfig, WantsServerCert>, alpn: &[&str]) -> ServerConfig {
        let mut config = builder.with_single_cert(self.chain_der(), self.key_der()).unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }

    pub fn chain_der(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain_pem.as_bytes()).map(Result::unwrap).collect()
    }

    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).unwrap()
    }
}

fn params(subjects: &[&str]) -> CertificateParams {
    CertificateParams::new(subjects.iter().map(|&subject| subject.to_owned()).collect::<Vec<_>>()).unwrap()
}

fn server_builder() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
}
