//! Clients of the gateway: HTTP/1.1 and HTTP/2, plain or TLS, one subscription or many over one connection.
//!
//! Always true: the requested ALPN protocol is the one in use; a connection costs one task; nothing reads ahead of the
//! test beyond the buffers of hyper and the kernel. `dial` returns the bare connection, for bytes that no HTTP library
//! would send.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderValue;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

use super::certificates::{Authority, Identity};
use super::subscription::Subscription;
use super::transport::Transport;
use super::wait::{DEADLINE, within};

/// An error before there is a response.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Silence after which the kernel asks whether the connection still exists.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// The version of HTTP that a client uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// The address and settings for requests to a server; cheap to clone, opens nothing by itself.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    protocol: Protocol,
    tls: Option<Arc<ClientConfig>>,
    host: String,
    source: Option<IpAddr>,
    window: u32,
    receive_buffer: Option<u32>,
    proxy_header: Option<&'static str>,
}

/// A connection; over HTTP/2 it carries any number of subscriptions at once.
pub struct Connection {
    sender: Sender,
    driver: Arc<Driver>,
    scheme: &'static str,
    authority: String,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// The task that moves a connection's bytes; the connection closes with it.
pub(super) struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// Returns a plain HTTP client that calls the server `localhost`.
    pub fn new(protocol: Protocol, address: SocketAddr) -> Self {
        Self {
            address,
            protocol,
            tls: None,
            host: "localhost".into(),
            source: None,
            window: 1 << 20,
            receive_buffer: None,
            proxy_header: None,
        }
    }

    pub fn http1(address: SocketAddr) -> Self {
        Self::new(Protocol::Http1, address)
    }

    pub fn http2(address: SocketAddr) -> Self {
        Self::new(Protocol::Http2, address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it uses HTTP/2, with many subscriptions per connection.
    pub fn is_http2(&self) -> bool {
        self.protocol == Protocol::Http2
    }

    /// TLS, trusting this authority.
    pub fn tls(self, authority: &Authority) -> Self {
        self.tls_config(authority.client_config())
    }

    /// TLS, trusting this authority and showing a certificate.
    pub fn tls_as(self, authority: &Authority, identity: &Identity) -> Self {
        self.tls_config(authority.client_config_as(identity))
    }

    fn tls_config(mut self, mut config: ClientConfig) -> Self {
        let alpn: &[u8] = if self.protocol == Protocol::Http2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![alpn.to_vec()];
        self.tls = Some(Arc::new(config));
        self
    }

    /// Sets the name for SNI and `Host`.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Connects from this loopback address (127.0.0.0/8), for limits per address.
    pub fn coming_from(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Begins every connection with this header of the PROXY protocol, as a load balancer does.
    pub fn proxy_header(mut self, line: &'static str) -> Self {
        self.proxy_header = Some(line);
        self
    }

    /// Sets the HTTP/2 window of each stream in bytes; the default is 1 MiB. Data within it is received without a read.
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes;
        self
    }

    /// Sets the kernel's receive buffer in bytes, so that a client that stops reading has an effect soon.
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Opens a bare connection, with the TLS handshake if there is one.
    pub async fn dial(&self) -> Result<Box<dyn Transport>, Failure> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        // A kernel that is short of memory may drop a connection and send a reset that the other one ignores. Browsers
        // notice by keepalive probes, too.
        SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
        let mut socket = socket.connect(self.address).await?;
        socket.set_nodelay(true)?;
        if let Some(line) = self.proxy_header {
            socket.write_all(line.as_bytes()).await?;
        }
        let Some(config) = &self.tls else { return Ok(Box::new(socket)) };
        let name = ServerName::try_from(self.host.clone())?;
        let socket = TlsConnector::from(config.clone()).connect(name, socket).await?;
        let negotiated = socket.get_ref().1.alpn_protocol();
        if negotiated != config.alpn_protocols.first().map(Vec::as_slice) {
            return Err(format!("ALPN: {negotiated:?} instead of {:?}", self.protocol).into());
        }
        Ok(Box::new(socket))
    }

    /// Opens a connection that is ready for requests.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        let transport = TokioIo::new(self.dial().await?);
        let (sender, driver) = match self.protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(transport).await?;
                (Sender::Http1(sender), tokio::spawn(async { drop(connection.await) }))
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .initial_stream_window_size(self.window)
                    .initial_connection_window_size(self.window.max(1 << 20).saturating_mul(4).min((1 << 31) - 1))
                    // A stream that was left and forgotten may still get what was under way. h2 calls that an error of the
                    // other side, and ends a connection after a thousand of them.
                    .max_local_error_reset_streams(None)
                    .handshake(transport)
                    .await?;
                (Sender::Http2(sender), tokio::spawn(async { drop(connection.await) }))
            }
        };
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let authority = format!("{}:{}", self.host, self.address.port());
        Ok(Connection { sender, driver: Arc::new(Driver(driver)), scheme, authority })
    }

    /// Opens an event stream on a connection of its own.
    ///
    /// # Panics
    /// Panics if there is no response within the deadline. Any status is a response.
    pub async fn subscribe(&self, path: &str, headers: &[(&str, &str)]) -> Subscription {
        within(DEADLINE, &format!("response to {path}"), self.try_request("GET", path, headers)).await.unwrap()
    }

    /// Sends a request of any method on a connection of its own.
    pub async fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Subscription, Failure> {
        self.connect().await?.try_request(method, path, headers).await
    }
}

impl Connection {
    /// Opens an event stream on this connection.
    ///
    /// # Panics
    /// Panics if there is no response within the deadline.
    pub async fn subscribe(&mut self, path: &str, headers: &[(&str, &str)]) -> Subscription {
        within(DEADLINE, &format!("response to {path}"), self.try_request("GET", path, headers)).await.unwrap()
    }

    /// Sends a request of any method, with `accept: text/event-stream` unless `headers` override it.
    pub async fn try_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Subscription, Failure> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        self.try_request_in_bytes(method, path, &headers).await
    }

    /// Sends a request whose header values are bytes.
    pub async fn try_request_in_bytes(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &[u8])],
    ) -> Result<Subscription, Failure> {
        let uri = match self.sender {
            Sender::Http1(_) => path.to_owned(),
            Sender::Http2(_) => format!("{}://{}{path}", self.scheme, self.authority),
        };
        let has = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let mut request = Request::builder().method(method).uri(uri);
        if matches!(self.sender, Sender::Http1(_)) && !has("host") {
            request = request.header("host", &self.authority);
        }
        if !has("accept") {
            request = request.header("accept", "text/event-stream");
        }
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value)?);
        }
        let response = self.send(request.body(Full::default())?).await?;
        Ok(Subscription::new(response, self.driver.clone()))
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
        }
    }
}
