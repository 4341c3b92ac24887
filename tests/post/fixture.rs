//! A producer, a gateway in front of it, and clients that send any request and read its response piece by piece.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::producer::Producer;
use crate::support::client::{Client, Protocol};
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, within};

pub const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

pub const SECRET: &str = "a secret of at least thirty-two bytes";

/// Returns a configuration with the upstream `model` at this URL, the issuer `main`, and `rest`.
pub fn config(url: &str, upstream: &str, rest: &str) -> String {
    format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [upstreams.model]\nurls = [\"{url}\"]\n{upstream}\n\
         [issuers.main]\nissuer = \"https://issuer\"\naudience = [\"rillgate\"]\n\
         keys = [{{ secret = {{ env = \"POST_SECRET\" }}, algorithm = \"HS256\", kid = \"one\" }}]\n{rest}\n"
    )
}

/// A route `/chat` for tokens, with these keys of `[routes.post]` and further tables.
pub fn chat(post: &str, tables: &str) -> String {
    format!(
        "[[routes]]\nname = \"chat\"\npath = \"/chat\"\nupstream = \"model\"\n[routes.auth]\nissuers = [\"main\"]\n\
         token_from = [\"header\", \"cookie:session\"]\n[routes.post]\n{post}\n{tables}\n"
    )
}

/// The same for everyone.
pub fn public_chat(post: &str, tables: &str) -> String {
    format!(
        "[[routes]]\nname = \"chat\"\npath = \"/chat\"\nupstream = \"model\"\nauth = \"public\"\n[routes.post]\n{post}\n\
         {tables}\n"
    )
}

pub async fn start(config: &str) -> Rillgate {
    Rillgate::start_with(config, &[("POST_SECRET", SECRET), ("RILLGATE_LOG", "trace")]).await
}

/// Starts a producer and a gateway with this route in front of it.
pub async fn producer_behind_gateway(route: &str) -> (Producer, Rillgate) {
    let producer = Producer::start().await;
    let gateway = start(&config(&producer.url(), "", route)).await;
    (producer, gateway)
}

/// Returns the `Authorization` of this subject.
pub fn bearer(subject: &str) -> String {
    format!("Bearer {}", token(subject))
}

pub fn token(subject: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = json!({
        "iss": "https://issuer", "aud": "rillgate", "exp": now.as_secs() + 600, "sub": subject, "jti": now.as_nanos().to_string(),
    });
    let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// A response whose body is read piece by piece. Dropping it disconnects.
pub struct Reading {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    body: Incoming,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Reading {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {:?}", self.headers)).to_str().unwrap()
    }

    /// The URL of the stream.
    pub fn url(&self) -> String {
        self.header("content-location").to_owned()
    }

    /// Reads until the text contains this, and returns all of the text.
    pub async fn until(&mut self, wanted: &str) -> &str {
        let reading = async {
            while !self.text.contains(wanted) {
                let frame = self.body.frame().await;
                let Some(Ok(frame)) = frame else { panic!("ended without {wanted:?}: {:?}", self.text) };
                self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
        };
        within(DEADLINE, wanted, reading).await;
        &self.text
    }

    /// Reads to the clean end, and returns all of the text.
    pub async fn whole(mut self) -> String {
        let rest = within(DEADLINE, "the end", async { (&mut self.body).collect().await.unwrap().to_bytes() }).await;
        self.text.push_str(std::str::from_utf8(&rest).unwrap());
        std::mem::take(&mut self.text)
    }

    /// Reads until the response is cut, and returns all of the text.
    pub async fn cut(mut self) -> String {
        let reading = async {
            while let Some(frame) = self.body.frame().await {
                let Ok(frame) = frame else { return };
                self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
            panic!("a clean end: {:?}", self.text);
        };
        within(DEADLINE, "the cut", reading).await;
        std::mem::take(&mut self.text)
    }

    /// The reason of a refusal.
    pub async fn reason(self) -> String {
        let text = self.whole().await;
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        json["reason"].as_str().unwrap().to_owned()
    }
}

/// Sends a request on a connection of its own, and waits for the head of the response.
pub async fn send(client: &Client, method: Method, path: &str, fields: &[(&str, &str)], body: &str) -> Reading {
    let transport = TokioIo::new(within(DEADLINE, "connection", client.dial()).await.unwrap());
    let mut request = Request::builder().method(method);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    let (sending, driver) = if client.is_http2() {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), transport).await.unwrap();
        let request = request.uri(format!("http://localhost{path}")).body(body).unwrap();
        let driver = tokio::spawn(async { drop(connection.await) });
        (within(DEADLINE, "head", async move { sender.send_request(request).await }).await, driver)
    } else {
        let (mut sender, connection) = http1::handshake(transport).await.unwrap();
        let request = request.uri(path).header("host", "localhost").body(body).unwrap();
        let driver = tokio::spawn(async { drop(connection.await) });
        (within(DEADLINE, "head", async move { sender.send_request(request).await }).await, driver)
    };
    let (head, body) = sending.unwrap().into_parts();
    Reading { status: head.status, headers: head.headers, text: String::new(), body, driver }
}

/// Asks a question as this subject.
pub async fn ask(client: &Client, subject: &str, question: &str, fields: &[(&str, &str)]) -> Reading {
    let authorization = bearer(subject);
    let mut all = vec![("authorization", &*authorization), ("content-type", "application/json")];
    all.extend(fields);
    send(client, Method::POST, "/chat", &all, question).await
}

/// Sends a request without a body as this subject.
pub async fn request(client: &Client, method: Method, subject: &str, path: &str, fields: &[(&str, &str)]) -> Reading {
    let authorization = bearer(subject);
    let mut all = vec![("authorization", &*authorization)];
    all.extend(fields);
    send(client, method, path, &all, "").await
}

/// Returns the data of the events in a text.
pub fn data(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
}

/// Returns the last id in a text.
pub fn last_id(text: &str) -> &str {
    text.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().expect("an id")
}
