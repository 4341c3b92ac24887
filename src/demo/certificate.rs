//! A self-signed certificate for `localhost`, made when the demo starts.
//!
//! Its key is new each time. This file never writes the key to disk, and `Debug` does not show it. Only for the demo:
//! no authority signs the certificate, so browsers warn about it.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

/// A certificate and its private key, as PEM.
pub struct Certificate {
    /// The certificate, signed by itself.
    pub chain: String,
    /// PKCS#8, ECDSA P-256.
    pub key: String,
}

/// An error while making a certificate. A defect of the gateway, because the input is fixed.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate for localhost")]
pub struct GenerateError(#[from] rcgen::Error);

impl Certificate {
    /// The names and addresses that the certificate is valid for.
    pub const NAMES: [&'static str; 3] = ["localhost", "127.0.0.1", "::1"];

    /// The validity of the certificate.
    pub const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// Makes a certificate that is valid from a day before `now`, for clocks that are behind, until [`Self::LIFETIME`]
    /// after it.
    ///
    /// # Errors
    /// The key cannot be generated, or the certificate cannot be signed.
    pub fn for_localhost(now: SystemTime) -> Result<Self, GenerateError> {
        let mut parameters = CertificateParams::new(Self::NAMES.map(str::to_owned))?;
        parameters.not_before = (now - Duration::from_secs(24 * 60 * 60)).into();
        parameters.not_after = (now + Self::LIFETIME).into();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "rillgate demo");
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let chain = parameters.self_signed(&key)?.pem();
        Ok(Self { chain, key: key.serialize_pem() })
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

    use super::*;

    #[test]
    fn a_trusting_client_accepts_the_certificate_for_every_name_until_it_expires() {
        let now = SystemTime::now();
        let certificate = Certificate::for_localhost(now).unwrap();
        let der = CertificateDer::from_pem_slice(certificate.chain.as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let accepted = |name: &'static str, at: SystemTime| {
            let at = UnixTime::since_unix_epoch(at.duration_since(SystemTime::UNIX_EPOCH).unwrap());
            verifier.verify_server_cert(&der, &[], &ServerName::try_from(name).unwrap(), &[], at).is_ok()
        };

        for name in Certificate::NAMES {
            assert!(accepted(name, now), "{name}");
            assert!(accepted(name, now + Certificate::LIFETIME - Duration::from_secs(60)), "{name}");
            assert!(!accepted(name, now + Certificate::LIFETIME + Duration::from_secs(60)), "{name}");
        }
        assert!(!accepted("example.com", now));
    }

    #[test]
    fn the_key_matches_the_certificate_and_stays_out_of_debug() {
        let certificate = Certificate::for_localhost(SystemTime::now()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(certificate.chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();

        assert!(rustls::sign::CertifiedKey::from_der(chain, key, &provider).is_ok());
        assert!(!format!("{certificate:?}").contains("PRIVATE"));
    }
}
