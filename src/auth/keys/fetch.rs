//! A fetch of one small document over HTTP/1.1, with or without TLS.
//!
//! Everything is bounded: ten seconds in total, 1 MiB, three redirects within the same origin. The request contains
//! nothing from a client. Not a general HTTP client: no pool, no proxy variables, no cookies, no compression.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{self, Either};
use http::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::jwks::MAX_DOCUMENT;
use crate::runtime::resolver::Resolver;

/// Timeout of a whole fetch, including name resolution and redirects.
pub const TIMEOUT: Duration = Duration::from_secs(10);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_REDIRECTS: usize = 3;

/// The reason why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL is neither `https` nor `http` to a loopback address.
    #[error("the URL must be https, or http to a loopback address")]
    Scheme,
    /// The name has no address, or none of them accepts a connection.
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    /// The handshake failed, most often because the certificate is not trusted.
    #[error("TLS handshake failed")]
    Tls(#[source] std::io::Error),
    /// The fetch took longer than [`TIMEOUT`].
    #[error("timed out after {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The response is not HTTP or is incomplete.
    #[error("invalid HTTP response")]
    Http(#[source] hyper::Error),
    /// The body is larger than 1 MiB or incomplete.
    #[error("the response body is larger than 1 MiB or incomplete")]
    Body,
    /// The status is not 200.
    #[error("unexpected status {0}")]
    Status(StatusCode),
    /// The server redirects to another origin, or too often.
    #[error("redirected to another origin, or more than {MAX_REDIRECTS} times")]
    Redirect,
}

impl FetchError {
    /// Returns the metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Scheme => "scheme",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Http(_) => "http",
            Self::Body => "body",
            Self::Status(_) => "status",
            Self::Redirect => "redirect",
        }
    }
}

/// Whether `url` may be fetched: `https`, or `http` to a loopback address.
pub fn is_allowed(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        ("http", Some(Host::Domain(name))) => name == "localhost",
        (_, _) => false,
    }
}

/// The parts of a fetch that do not depend on the URL. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FetchClient {
    /// The name under which the resolver counts its lookups.
    pub owner: Arc<str>,
    /// The authorities that are trusted.
    pub tls: Arc<ClientConfig>,
    /// Resolves names.
    pub resolver: Resolver,
}

/// Fetches the document at `url`.
///
/// # Errors
/// See [`FetchError`].
pub async fn get(url: &Url, client: &FetchClient) -> Result<Bytes, FetchError> {
    tokio::time::timeout(TIMEOUT, get_with_redirects(url, client)).await.unwrap_or(Err(FetchError::Timeout))
}

enum FetchOutcome {
    Document(Bytes),
    Redirect(String),
}

async fn get_with_redirects(url: &Url, client: &FetchClient) -> Result<Bytes, FetchError> {
    let mut current = url.clone();
    for _ in 0..=MAX_REDIRECTS {
        match get_once(&current, client).await? {
            FetchOutcome::Document(bytes) => return Ok(bytes),
            FetchOutcome::Redirect(location) => {
                let next = current.join(&location).map_err(|_| FetchError::Redirect)?;
                if next.origin() != current.origin() {
                    return Err(FetchError::Redirect);
                }
                current = next;
            }
        }
    }
    Err(FetchError::Redirect)
}

async fn get_once(url: &Url, client: &FetchClient) -> Result<FetchOutcome, FetchError> {
    if !is_allowed(url) {
        return Err(FetchError::Scheme);
    }
    let stream = connect(url, client).await?;
    if url.scheme() == "http" {
        return send_request(url, stream).await;
    }
    let name = match url.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(|_| FetchError::Scheme)?,
        Some(Host::Ipv4(address)) => ServerName::from(std::net::IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => ServerName::from(std::net::IpAddr::V6(address)),
        None => return Err(FetchError::Scheme),
    };
    let stream = TlsConnector::from(client.tls.clone()).connect(name, stream).await.map_err(FetchError::Tls)?;
    send_request(url, stream).await
}

async fn connect(url: &Url, client: &FetchClient) -> Result<TcpStream, FetchError> {
    let port = url.port_or_known_default().ok_or(FetchError::Scheme)?;
    let addresses: Vec<SocketAddr> = match url.host() {
        Some(Host::Domain(name)) => {
            let deadline = Instant::now() + TIMEOUT;
            let addresses = client.resolver.resolve(&client.owner, name, port, deadline).await;
            addresses.map_err(FetchError::Connect)?
        }
        Some(Host::Ipv4(address)) => vec![(address, port).into()],
        Some(Host::Ipv6(address)) => vec![(address, port).into()],
        None => return Err(FetchError::Scheme),
    };
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = std::io::ErrorKind::TimedOut.into(),
        }
    }
    Err(FetchError::Connect(last))
}

async fn send_request<S>(url: &Url, stream: S) -> Result<FetchOutcome, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(64 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(FetchError::Http)?;
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = Request::get(target)
        .header(HOST, authority)
        .header(USER_AGENT, concat!("rillgate/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"))
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Scheme)?;

    let answer = std::pin::pin!(async {
        let response = sender.send_request(request).await.map_err(FetchError::Http)?;
        let status = response.status();
        if status.is_redirection()
            && let Some(location) = response.headers().get(LOCATION).and_then(|value| value.to_str().ok())
        {
            return Ok(FetchOutcome::Redirect(location.to_owned()));
        }
        if status != StatusCode::OK {
            return Err(FetchError::Status(status));
        }
        let body = Limited::new(response.into_body(), MAX_DOCUMENT).collect().await.map_err(|_| FetchError::Body)?;
        Ok(FetchOutcome::Document(body.to_bytes()))
    });
    // Polling the connection moves the bytes, so both are polled here. If the connection ends first, the response may
    // have arrived with it.
    match future::select(answer, std::pin::pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answer)) => answer.await,
    }
}

/// Returns a TLS client that trusts the certificates of the operating system.
///
/// # Errors
/// None of the system's certificates can be read.
pub fn native_tls() -> std::io::Result<Arc<ClientConfig>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty()
        && let Some(error) = found.errors.into_iter().next()
    {
        return Err(std::io::Error::other(error));
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    Ok(tls_trusting(roots))
}

/// Returns a TLS client that trusts `roots`.
pub fn tls_trusting(roots: rustls::RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(tls)
}
