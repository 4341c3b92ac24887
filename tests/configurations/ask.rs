//! A request of one client over HTTP/1.1 or HTTP/2, and the beginning of its response.
//!
//! Always true: nothing here panics, because the test looks for panics anywhere in the process; every wait has a deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

/// The way to send a request.
#[derive(Clone)]
pub struct Way {
    pub address: SocketAddr,
    pub tls: Option<Arc<ClientConfig>>,
    pub is_http2: bool,
    /// A PROXY protocol header that is sent first, or nothing.
    pub preamble: &'static [u8],
}

/// A response whose body may continue; dropping it closes the connection.
pub struct Answer {
    pub status: u16,
    body: Incoming,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// The reason why there is no response.
#[derive(Debug)]
pub enum NoAnswer {
    /// No response arrived in time.
    Late,
    /// The connection was closed, or could not be opened.
    Closed(Failure),
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Way {
    pub async fn ask(&self, target: &str, headers: HeaderMap, patience: Duration) -> Result<Answer, NoAnswer> {
        match timeout(patience, self.try_ask(target, headers)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(NoAnswer::Closed(error)),
            Err(_) => Err(NoAnswer::Late),
        }
    }

    async fn try_ask(&self, target: &str, headers: HeaderMap) -> Result<Answer, Failure> {
        let mut socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        socket.write_all(self.preamble).await?;
        let Some(config) = &self.tls else { return self.over(socket, "http", target, headers).await };
        let mut config = ClientConfig::clone(config);
        config.alpn_protocols = vec![if self.is_http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let name = ServerName::try_from("localhost")?;
        let socket = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
        self.over(socket, "https", target, headers).await
    }

    async fn over<T>(&self, transport: T, scheme: &str, target: &str, headers: HeaderMap) -> Result<Answer, Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let transport = TokioIo::new(transport);
        let (response, connection) = if self.is_http2 {
            let mut request = Request::get(format!("{scheme}://localhost{target}")).body(Empty::<Bytes>::new())?;
            *request.headers_mut() = headers;
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), transport).await?;
            let connection = tokio::spawn(async { drop(connection.await) });
            (sender.send_request(request).await, connection)
        } else {
            let mut request = Request::get(target).body(Empty::<Bytes>::new())?;
            *request.headers_mut() = headers;
            request.headers_mut().insert("host", "localhost".parse()?);
            let (mut sender, connection) = http1::handshake(transport).await?;
            let connection = tokio::spawn(async { drop(connection.await) });
            (sender.send_request(request).await, connection)
        };
        match response {
            Ok(response) => Ok(Answer { status: response.status().as_u16(), body: response.into_body(), connection }),
            Err(error) => {
                connection.abort();
                Err(error.into())
            }
        }
    }
}

impl Answer {
    /// Reads until the condition holds, the body ends, or the time is up.
    pub async fn read_until(&mut self, enough: impl Fn() -> bool, time: Duration) {
        let end = Instant::now() + time;
        while !enough() {
            match timeout_at(end.min(Instant::now() + Duration::from_millis(5)), self.body.frame()).await {
                Ok(Some(Ok(_))) => {}
                Ok(None | Some(Err(_))) => return,
                Err(_) if Instant::now() >= end => return,
                Err(_) => {}
            }
        }
    }
}

/// Returns the whole response of the admin port.
pub async fn admin(address: SocketAddr, path: &str, patience: Duration) -> io::Result<String> {
    let exchange = async {
        let mut socket = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        socket.read_to_string(&mut text).await?;
        Ok(text)
    };
    timeout(patience, exchange).await?
}
