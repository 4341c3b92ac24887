//! An application, a gateway in front of it, and clients that send any request.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::client::{Client, Protocol};
use crate::support::express::program;
use crate::support::process::Process;
use crate::support::raw::{Raw, status};
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, within};

pub const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

const SECRET: &str = "a secret of at least thirty-two bytes";

/// The application of `tests/express/site.mjs`; killed when dropped.
pub struct Site {
    _process: Process,
    address: SocketAddr,
}

impl Site {
    pub async fn start() -> Self {
        let process = Process::start(&mut program("site.mjs"));
        let line = process.wait_line("port=", DEADLINE).await;
        let port = line.trim().trim_start_matches("port=").parse().expect("a port");
        Self { _process: process, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn stats(&self) -> Value {
        let answer = get(&Client::http1(self.address), "/stats", &[]).await;
        serde_json::from_slice(&answer.body).expect("JSON")
    }
}

/// Returns a configuration with the upstream `app` at this URL and the issuer `main`, and adds `rest`.
pub fn config(url: &str, rest: &str) -> String {
    format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [upstreams.app]\nurls = [\"{url}\"]\n\
         [issuers.main]\nissuer = \"https://issuer\"\naudience = [\"rillgate\"]\n\
         keys = [{{ secret = {{ env = \"FORWARD_SECRET\" }}, algorithm = \"HS256\", kid = \"one\" }}]\n{rest}\n"
    )
}

/// A public route that sends everything on, with these keys of `[routes.forward]`.
pub fn everything(forward: &str) -> String {
    format!(
        "[[routes]]\nname = \"site\"\npath = \"/{{*rest}}\"\nupstream = \"app\"\nauth = \"public\"\n[routes.forward]\n{forward}\n"
    )
}

pub async fn start(config: &str) -> Rillgate {
    Rillgate::start_with(config, &[("FORWARD_SECRET", SECRET)]).await
}

/// Starts an application and a gateway that sends everything on to it.
pub async fn site_behind_gateway(forward: &str) -> (Site, Rillgate) {
    let site = Site::start().await;
    let gateway = start(&config(&site.url(), &everything(forward))).await;
    (site, gateway)
}

/// Returns a token of the issuer `main`, with these claims besides the usual ones.
pub fn token(changed: &Value) -> String {
    let expiry = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600;
    let mut claims = json!({ "iss": "https://issuer", "aud": "rillgate", "exp": expiry, "sub": "alice" });
    for (name, value) in changed.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// Revokes what this JSON names.
pub async fn revoke(gateway: &Rillgate, body: &str) {
    let length = body.len();
    let post = format!(
        "POST /revocations HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let posted = Raw::exchange(&Client::http1(gateway.admin()), post.as_bytes()).await;
    assert!([200, 201, 204].contains(&status(&posted)), "{posted}");
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// The reason of a refusal.
    pub fn reason(&self) -> String {
        self.json()["reason"].as_str().expect("a reason").to_owned()
    }
}

pub type AnyBody = BoxBody<Bytes, std::io::Error>;

pub fn full(bytes: impl Into<Bytes>) -> AnyBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// Begins a request on a connection of its own. The connection lives as long as the response.
pub async fn begin(client: &Client, request: Request<AnyBody>) -> hyper::Result<Response<Incoming>> {
    let transport = TokioIo::new(within(DEADLINE, "connection", client.dial()).await.unwrap());
    if client.is_http2() {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), transport).await?;
        tokio::spawn(connection);
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = http1::handshake(transport).await?;
        tokio::spawn(connection);
        sender.send_request(request).await
    }
}

/// Reads an answer to its end.
pub async fn read(response: Response<Incoming>) -> hyper::Result<Answer> {
    let (head, body) = response.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    Ok(Answer { status: head.status, headers: head.headers, body: collected.to_bytes(), trailers })
}

/// Sends a request and reads the whole answer.
pub async fn send(
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: AnyBody,
) -> hyper::Result<Answer> {
    let request = request(client, method, path, headers, body);
    within(DEADLINE, &format!("answer to {method} {path}"), async { read(begin(client, request).await?).await }).await
}

pub async fn get(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(client, "GET", path, headers, full("")).await.unwrap()
}

pub fn request(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: AnyBody) -> Request<AnyBody> {
    let authority = format!("localhost:{}", client.address().port());
    let mut request = match client.is_http2() {
        true => Request::builder().method(method).uri(format!("http://{authority}{path}")),
        false if headers.iter().any(|(name, _)| *name == "host") => Request::builder().method(method).uri(path),
        false => Request::builder().method(method).uri(path).header("host", authority),
    };
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    assert!(body.size_hint().lower() > 0 || body.is_end_stream() || body.size_hint().upper().is_none());
    request.body(body).unwrap()
}
