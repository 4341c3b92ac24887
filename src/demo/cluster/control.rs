//! The page of `rillgate demo --cluster`: which gateway owns which stream, and a button that kills the owner.
//!
//! Served over plain HTTP on a loopback port. Only the page itself may press the button: requests of other sites, and
//! those under another host name, are refused.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::gateways::DemoGateways;
use crate::demo::producer::Spawn;

/// The running page.
#[derive(Debug)]
pub struct ControlPage {
    address: SocketAddr,
}

/// The state that every connection needs.
struct Control {
    gateways: Arc<DemoGateways>,
    /// The address of the demo's own page.
    demo: String,
    port: u16,
}

impl ControlPage {
    /// Serves the page on a free port of 127.0.0.1 until the gateways are stopped. `demo` is the address of the demo's
    /// page, to which this one links.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start(gateways: Arc<DemoGateways>, demo: &str, spawn: Spawn) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let control = Arc::new(Control { gateways: gateways.clone(), demo: demo.to_owned(), port: address.port() });
        spawn(gateways.until_stopped(accept(listener, control, spawn.clone())));
        Ok(Self { address })
    }

    /// Returns the address of the page.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Control {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.is_own_host(request.headers()) {
            return reply(StatusCode::MISDIRECTED_REQUEST, TEXT, "unknown host\n");
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => reply(StatusCode::OK, HTML, include_str!("../page/cluster.html")),
            (&Method::GET, "/cluster.js") => reply(StatusCode::OK, SCRIPT, include_str!("../page/cluster.js")),
            (&Method::GET, "/page.css") => reply(StatusCode::OK, STYLE, include_str!("../page/page.css")),
            (&Method::GET, "/icon.svg") => reply(StatusCode::OK, "image/svg+xml", include_str!("../page/icon.svg")),
            (&Method::GET, "/cluster.json") => {
                let mut state = self.gateways.describe();
                state["demo"] = self.demo.as_str().into();
                reply(StatusCode::OK, JSON, state.to_string())
            }
            (&Method::POST, "/kill") if is_cross_site(request.headers()) => {
                reply(StatusCode::FORBIDDEN, TEXT, "only this page may kill a gateway\n")
            }
            (&Method::POST, "/kill") => match self.gateways.kill_owner() {
                Some(name) => reply(StatusCode::OK, JSON, json!({ "killed": name }).to_string()),
                None => reply(StatusCode::CONFLICT, TEXT, "no gateway owns a stream now\n"),
            },
            (_, "/" | "/cluster.js" | "/page.css" | "/icon.svg" | "/cluster.json" | "/kill") => {
                reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "another method is needed\n")
            }
            _ => reply(StatusCode::NOT_FOUND, TEXT, "not found\n"),
        }
    }

    /// Returns true if the page was requested under an address of this machine: another name may be a rebound one.
    fn is_own_host(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        ["127.0.0.1", "localhost"].iter().any(|name| host == format!("{name}:{}", self.port))
    }
}

/// Returns true if a browser says that another site sent the request.
fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
        || headers.get(header::ORIGIN).is_some_and(|origin| {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            origin != format!("http://{host}").as_str()
        })
}

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(crate::demo::page::POLICY));
    response
}

async fn accept(listener: TcpListener, control: Arc<Control>, spawn: Spawn) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let Ok((socket, _)) = listener.accept().await else {
            // Most likely out of file descriptors, so an immediate retry would not help.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let control = control.clone();
        spawn(control.gateways.clone().until_stopped(async move {
            serve(socket, control).await;
            drop(permit);
        }));
    }
}

async fn serve(socket: TcpStream, control: Arc<Control>) {
    let service = service_fn(|request| {
        let response = control.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10)).max_buf_size(16 * 1024);
    // A browser ends its connections as it likes.
    let _ = http.serve_connection(TokioIo::new(socket), service).await;
}

/// Maximum number of connections to the page; one more waits.
const MAX_CONNECTIONS: usize = 64;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
