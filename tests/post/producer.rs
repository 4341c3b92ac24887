//! A producer that answers a `POST` with a stream of events, or with something else. It records what it is asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::wait::{DEADLINE, eventually};

/// A request, as the producer received it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The head of an answer.
#[derive(Clone)]
pub struct Head {
    pub status: u16,
    pub fields: Vec<(&'static str, &'static str)>,
    /// The whole body. `None`: what the test emits.
    pub body: Option<&'static str>,
}

type Piece = Result<Frame<Bytes>, std::io::Error>;

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    open: Vec<mpsc::UnboundedSender<Piece>>,
    head: Option<Head>,
}

/// A running producer; closes its port and its connections when dropped.
pub struct Producer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl Producer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let state = shared.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(state.clone(), request));
                    // The preface of HTTP/2 begins with "PRI", and no request here with a "PRI" of HTTP/1.1.
                    let mut preface = [0; 3];
                    let _ = socket.peek(&mut preface).await;
                    if &preface == b"PRI" {
                        let _ = http2::Builder::new(TokioExecutor::new())
                            .serve_connection(TokioIo::new(socket), service)
                            .await;
                    } else {
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
                    }
                });
            }
        });
        Self { address, state, accepting }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers with this from now on.
    pub fn answer(&self, status: u16, fields: &[(&'static str, &'static str)], body: Option<&'static str>) {
        self.state.lock().head = Some(Head { status, fields: fields.to_vec(), body });
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().asked.clone()
    }

    /// Waits until so many answers have begun, in all.
    pub async fn wait_asked(&self, count: usize) {
        eventually(DEADLINE, || async { self.asked().len() >= count }).await;
    }

    /// The number of answers that the gateway still reads.
    pub fn open(&self) -> usize {
        self.state.lock().open.iter().filter(|open| !open.is_closed()).count()
    }

    /// Sends an event in every open answer.
    pub fn emit(&self, data: &str) {
        self.send(&format!("data: {data}\n\n"));
    }

    pub fn send(&self, bytes: &str) {
        for open in &self.state.lock().open {
            let _ = open.send(Ok(Frame::data(bytes.to_owned().into())));
        }
    }

    /// Ends every open answer.
    pub fn end(&self) {
        self.state.lock().open.clear();
    }

    /// Breaks every open answer off.
    pub fn break_off(&self) {
        for open in self.state.lock().open.drain(..) {
            let _ = open.send(Err(std::io::Error::other("broken off")));
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, std::io::Error>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let target = head.uri.path_and_query().unwrap().to_string();
    let (sender, receiver) = mpsc::unbounded_channel::<Piece>();
    let mut state = state.lock();
    state.asked.push(Asked { method: head.method, target, headers: head.headers, body });
    let head = state.head.clone().unwrap_or_else(|| Head {
        status: 200,
        fields: vec![("content-type", "text/event-stream")],
        body: None,
    });
    match head.body {
        Some(body) => {
            let _ = sender.send(Ok(Frame::data(Bytes::from_static(body.as_bytes()))));
        }
        None => state.open.push(sender),
    }
    let pieces = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    let mut response = Response::new(StreamBody::new(pieces).boxed());
    *response.status_mut() = http::StatusCode::from_u16(head.status).unwrap();
    for (name, value) in head.fields {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    Ok(response)
}
