//! One connection to the host of a URL: TCP, TLS for `https`, and HTTP in the version that both sides agree on.
//!
//! A task drives it and ends with it. No pool: each reading has a connection of its own, so that no reading can hold up
//! another.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, Uri, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower_service::Service as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::settings::Settings;
use crate::runtime::human_duration::format_duration;
use crate::runtime::tasks::Tasks;
use crate::upstream::error_chain;

/// An open connection.
pub(super) struct ClientConnection {
    sender: RequestSender,
    /// When the server's certificate ends. `None`: no TLS, or the certificate cannot be read.
    pub(super) certificate_end: Option<SystemTime>,
}

enum RequestSender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(h2::client::SendRequest<Bytes>),
}

/// The content of a response, as it comes.
pub(super) enum Content {
    /// Over HTTP/1.1.
    Http1(Incoming),
    /// Over HTTP/2.
    Http2(h2::RecvStream),
}

impl ClientConnection {
    /// Connects within `CONNECT_TIMEOUT`. Offers these versions of HTTP; without TLS it is HTTP/1.1.
    ///
    /// # Errors
    /// There is no connection, with the reason as text.
    pub(super) async fn open(settings: &Settings, offer: &[Version], tasks: &Tasks) -> Result<Self, String> {
        let authority = &settings.url[url::Position::BeforeHost..url::Position::AfterPort];
        let opened = timeout(CONNECT_TIMEOUT, open(settings, offer, tasks)).await;
        let opened = opened.unwrap_or_else(|_| Err(format!("timed out after {}", format_duration(CONNECT_TIMEOUT))));
        opened.map_err(|reason| format!("cannot connect to {authority}: {reason}"))
    }

    /// Returns the agreed version of HTTP.
    pub(super) fn version(&self) -> Version {
        match self.sender {
            RequestSender::Http1(_) => Version::HTTP_11,
            RequestSender::Http2(_) => Version::HTTP_2,
        }
    }

    /// Sends a request without content, and waits for the head of the response.
    ///
    /// # Errors
    /// There is no response, with the reason as text.
    pub(super) async fn send(&mut self, request: Request<()>) -> Result<Response<Content>, String> {
        match &mut self.sender {
            RequestSender::Http1(sender) => {
                let response = sender.send_request(request.map(|()| Empty::new())).await;
                response.map(|response| response.map(Content::Http1)).map_err(|error| error_chain(&error))
            }
            RequestSender::Http2(sender) => {
                let failed = |error: h2::Error| error_chain(&error);
                *sender = sender.clone().ready().await.map_err(failed)?;
                let (response, _) = sender.send_request(request, true).map_err(failed)?;
                Ok(response.await.map_err(failed)?.map(Content::Http2))
            }
        }
    }
}

impl Content {
    /// Waits for the next bytes. `None` is a clean end. Cancel-safe.
    ///
    /// # Errors
    /// The response broke off, with the reason as text.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, String>> {
        match self {
            Self::Http1(body) => loop {
                match body.frame().await? {
                    // Trailers mean nothing here.
                    Ok(frame) => {
                        if let Ok(bytes) = frame.into_data() {
                            return Some(Ok(bytes));
                        }
                    }
                    Err(error) => return Some(Err(error_chain(&error))),
                }
            },
            Self::Http2(stream) => {
                let bytes = stream.data().await?;
                Some(match bytes {
                    Ok(bytes) => {
                        // An error means that the connection is gone, which the next read reports.
                        let _ = stream.flow_control().release_capacity(bytes.len());
                        Ok(bytes)
                    }
                    Err(error) => Err(error_chain(&error)),
                })
            }
        }
    }
}

async fn open(settings: &Settings, offer: &[Version], tasks: &Tasks) -> Result<ClientConnection, String> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    let uri: Uri = settings.url.as_str().parse().expect("checked when the settings were made");
    let socket = connector.call(uri).await.map_err(|error| error_chain(&error))?.into_inner();
    let Some(name) = settings.server_name() else {
        return speak(socket, Version::HTTP_11, None, tasks).await;
    };
    let tls = TlsConnector::from(settings.tls(offer)).connect(name?, socket).await;
    let tls = tls.map_err(|error| format!("TLS handshake failed: {}", error_chain(&error)))?;
    let session = tls.get_ref().1;
    let version = if session.alpn_protocol() == Some(b"h2") { Version::HTTP_2 } else { Version::HTTP_11 };
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let certificate_end = leaf.and_then(end_of);
    speak(tls, version, certificate_end, tasks).await
}

async fn speak<T>(
    io: T,
    version: Version,
    certificate_end: Option<SystemTime>,
    tasks: &Tasks,
) -> Result<ClientConnection, String>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let sender = if version == Version::HTTP_2 {
        let mut builder = h2::client::Builder::new();
        builder.enable_push(false).initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
        let (sender, connection) = builder.handshake(io).await.map_err(|error| error_chain(&error))?;
        // Its streams report the error.
        tasks.spawn("connection", async move {
            let _ = connection.await;
        });
        RequestSender::Http2(sender)
    } else {
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(|error| error_chain(&error))?;
        tasks.spawn("connection", async move {
            let _ = connection.await;
        });
        RequestSender::Http1(sender)
    };
    Ok(ClientConnection { sender, certificate_end })
}

fn end_of(certificate: &CertificateDer<'static>) -> Option<SystemTime> {
    let (_, leaf) = X509Certificate::from_der(certificate).ok()?;
    let seconds = u64::try_from(leaf.validity().not_after.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Longest time for name resolution, TCP, TLS and the beginning of HTTP together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that the server may send before they are read.
const WINDOW_BYTES: u32 = 1 << 20;
