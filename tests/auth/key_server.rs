//! A server of key sets, over HTTP and HTTPS.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jsonwebtoken::Algorithm;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::*;

/// A server that answers every request with the same bytes until changed, and closes the connection.
pub struct KeyServer {
    pub address: SocketAddr,
    pub answer: Arc<Mutex<Vec<u8>>>,
    pub asked: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl KeyServer {
    pub async fn start(answer: Vec<u8>) -> Self {
        Self::listen(answer, None).await
    }

    pub async fn listen(answer: Vec<u8>, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (answer, asked) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let mut task = JoinSet::new();
        let (answers, count) = (Arc::clone(&answer), Arc::clone(&asked));
        task.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                match &tls {
                    None => serve(stream, &answers, &count).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, &answers, &count).await;
                        }
                    }
                }
            }
        });
        Self { address, answer, asked, _task: task }
    }

    pub fn url(&self) -> url::Url {
        format!("http://{}/jwks.json?x=1", self.address).parse().expect("a URL")
    }

    pub fn answer(&self, answer: Vec<u8>) {
        *self.answer.lock().expect("not poisoned") = answer;
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &Mutex<Vec<u8>>, asked: &AtomicUsize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let answer = if head.starts_with(b"GET /jwks.json?x=1 ") {
        asked.fetch_add(1, Ordering::SeqCst);
        answer.lock().expect("not poisoned").clone()
    } else {
        ok(&jwks(&[("moved", &keys().ec, Algorithm::ES256)]))
    };
    // The client may have gone once it has seen enough.
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

pub fn ok(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

pub fn status(line: &str) -> Vec<u8> {
    format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

fn jwk(kid: &str, pair: &KeyPair, algorithm: Algorithm) -> Value {
    let private = pair.serialize_pem();
    let key = if algorithm == Algorithm::RS256 {
        EncodingKey::from_rsa_pem(private.as_bytes())
    } else {
        EncodingKey::from_ec_pem(private.as_bytes())
    };
    let jwk = Jwk::from_encoding_key(&key.expect("a key"), algorithm).expect("a JWK");
    let mut jwk = serde_json::to_value(jwk).expect("JSON");
    jwk["kid"] = json!(kid);
    jwk["use"] = json!("sig");
    jwk
}

pub fn jwks(keys: &[(&str, &KeyPair, Algorithm)]) -> Value {
    json!({ "keys": keys.iter().map(|(kid, pair, algorithm)| jwk(kid, pair, *algorithm)).collect::<Vec<_>>() })
}
