//! The settings of an examination: a URL, and what a page or its server would send with the requests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, HOST, ORIGIN, PRAGMA, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use url::{Host, Position, Url};

/// The URL to examine, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `http` or `https`, without user and fragment.
    pub(super) url: Url,
    /// Fields of each request besides those of a browser. Their values may be secrets.
    pub(super) fields: HeaderMap,
    /// The origin of the page that reads the stream.
    pub(super) origin: Option<HeaderValue>,
    /// The time for which the stream is read.
    pub(super) duration: Duration,
    /// Trusts the chosen authorities. Offers no protocols.
    tls: Arc<ClientConfig>,
}

/// The reason why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The URL cannot be examined.
    #[error("URL: {0}")]
    Url(&'static str),
    /// A request field is invalid.
    #[error("header {0:?}: expected NAME: VALUE")]
    Field(String),
    /// The token is not one line of text.
    #[error("the token is not one line of text")]
    Token,
    /// The origin is invalid.
    #[error("origin {0:?}: expected scheme, host and port, such as https://app.example.com")]
    Origin(String),
    /// The file of authorities has no certificate.
    #[error("{}: {reason}", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
}

impl Settings {
    /// Examines `url` for `duration`, trusting the authorities in the PEM file `ca`, or those of the system.
    ///
    /// # Errors
    /// The URL is not `http` or `https` or has a user, or `ca` has no certificate.
    pub fn new(url: &str, ca: Option<&Path>, duration: Duration) -> Result<Self, SettingsError> {
        let mut url = Url::parse(url).map_err(|_| SettingsError::Url("expected one such as https://host/path"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(SettingsError::Url("the scheme must be http or https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SettingsError::Url("must not contain a user name or password"));
        }
        url.set_fragment(None);
        let is_valid = url.as_str().parse::<Uri>().is_ok() && url.host().is_some();
        if !is_valid {
            return Err(SettingsError::Url("the host or the path is invalid"));
        }
        let roots = match ca {
            Some(path) => authorities(path)?,
            None => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                roots
            }
        };
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider's cipher suites cover TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { url, fields: HeaderMap::new(), origin: None, duration, tls: Arc::new(tls) })
    }

    /// Sends this bearer token with each request.
    ///
    /// # Errors
    /// The token is not one line of text.
    pub fn set_token(&mut self, token: &str) -> Result<(), SettingsError> {
        let value = HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| SettingsError::Token)?;
        self.fields.insert(AUTHORIZATION, value);
        Ok(())
    }

    /// Sends this field, `NAME: VALUE`, with each request.
    ///
    /// # Errors
    /// The text is not a field.
    pub fn add_field(&mut self, text: &str) -> Result<(), SettingsError> {
        let name_of = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
        let parsed = text.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::try_from(name.trim()).ok()?;
            Some((name, HeaderValue::try_from(value.trim()).ok()?))
        });
        // The value may be a secret.
        let (name, value) = parsed.ok_or_else(|| SettingsError::Field(name_of(text)))?;
        self.fields.append(name, value);
        Ok(())
    }

    /// Asks as a page of this origin.
    ///
    /// # Errors
    /// The text is not an origin.
    pub fn set_origin(&mut self, origin: &str) -> Result<(), SettingsError> {
        let invalid = || SettingsError::Origin(origin.to_owned());
        let url = Url::parse(origin).map_err(|_| invalid())?;
        // An origin has no path: a browser would not send one.
        if url.host().is_none() || origin.ends_with('/') || !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(invalid());
        }
        self.origin = Some(HeaderValue::try_from(origin).map_err(|_| invalid())?);
        Ok(())
    }

    /// Returns a TLS configuration that offers these versions of HTTP.
    pub(super) fn tls(&self, offer: &[Version]) -> Arc<ClientConfig> {
        let mut tls = ClientConfig::clone(&self.tls);
        let protocols = offer.iter().map(|&version| if version == Version::HTTP_2 { "h2" } else { "http/1.1" });
        tls.alpn_protocols = protocols.map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(tls)
    }

    /// Returns the name that the server's certificate must have. `None`: the URL is not `https`.
    pub(super) fn server_name(&self) -> Option<Result<ServerName<'static>, String>> {
        let host = self.url.host().filter(|_| self.url.scheme() == "https")?;
        Some(match host {
            Host::Domain(name) => {
                ServerName::try_from(name.to_owned()).map_err(|_| format!("{name} is not a valid server name"))
            }
            Host::Ipv4(address) => Ok(std::net::IpAddr::V4(address).into()),
            Host::Ipv6(address) => Ok(std::net::IpAddr::V6(address).into()),
        })
    }

    /// Returns a request as a browser sends it in this version, with the codings that it accepts.
    pub(super) fn request(&self, version: Version, method: Method, codings: &'static str) -> Request<()> {
        let target = match version {
            Version::HTTP_2 => &self.url[..],
            _ => &self.url[Position::BeforePath..],
        };
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().expect("checked when the settings were made");
        let fields = request.headers_mut();
        if version == Version::HTTP_2 {
            *request.version_mut() = Version::HTTP_2;
        } else {
            let host = &self.url[Position::BeforeHost..Position::AfterPort];
            fields.insert(HOST, HeaderValue::try_from(host).expect("a host of a URL is ASCII"));
        }
        let fields = request.headers_mut();
        fields.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        fields.insert(ACCEPT_ENCODING, HeaderValue::from_static(codings));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        fields.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        fields.insert(USER_AGENT, HeaderValue::from_static(concat!("rillgate-doctor/", env!("CARGO_PKG_VERSION"))));
        if let Some(origin) = &self.origin {
            fields.insert(ORIGIN, origin.clone());
        }
        for name in self.fields.keys() {
            fields.remove(name);
        }
        fields.extend(self.fields.clone());
        request
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, SettingsError> {
    let fault = |reason: String| SettingsError::Authorities { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| fault("not a PEM file of certificates".to_owned()))?;
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    if roots.is_empty() { Err(fault("no certificate found".to_owned())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Result<Settings, SettingsError> {
        Settings::new(url, None, Duration::from_secs(1))
    }

    #[test]
    fn a_request_has_its_target_in_the_form_of_its_version() {
        let settings = settings("https://example.com:8443/a/b?c=d#e").expect("a URL");

        let [first, second] = [Version::HTTP_11, Version::HTTP_2].map(|version| {
            let request = settings.request(version, Method::GET, "identity");
            (request.uri().to_string(), request.headers().get(HOST).cloned())
        });

        assert_eq!(first, ("/a/b?c=d".to_owned(), Some(HeaderValue::from_static("example.com:8443"))));
        assert_eq!(second, ("https://example.com:8443/a/b?c=d".to_owned(), None));
    }

    #[test]
    fn what_no_browser_can_request_is_refused() {
        for url in ["ftp://a/", "https://user@a/", "nonsense", "https:///"] {
            assert!(settings(url).is_err(), "{url}");
        }
        let mut settings = settings("http://127.0.0.1/").expect("a URL");
        for origin in ["app.example.com", "https://a/", "https://a/b", "null"] {
            assert!(settings.set_origin(origin).is_err(), "{origin}");
        }
        settings.set_origin("capacitor://localhost").expect("an origin");
        for field in ["no colon", "a b: c", ": x"] {
            assert!(settings.add_field(field).is_err(), "{field}");
        }
        assert!(settings.set_token("a\nb").is_err());
    }

    #[test]
    fn an_invalid_field_is_named_without_its_value() {
        let mut settings = settings("http://127.0.0.1/").expect("a URL");

        let error = settings.add_field("x y: secret").expect_err("a space in the name");

        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
