//! The demo's producer: a plain HTTP/1.1 server on a loopback port, like that of an application.
//!
//! | path | stream |
//! |---|---|
//! | `/prices/{symbol}` | price ticks, a few per second |
//! | `/trades` | long pauses, then twenty at once |
//! | `/deploys` | typed events, one in about eight seconds |
//! | `/tokens` | answers, word by word |
//! | `/status` | the state of the demo, once a second |
//! | `POST /answers` | the answer to a prompt, word by word |
//!
//! All streams but the last two number their messages and resume after `Last-Event-ID` from a bounded memory. At most
//! [`Producer::CONNECTIONS`] connections are served at a time; one more waits. Does not know the gateway: a callback
//! supplies the gateway's part of `/status`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, warn};

use super::feed::{Answers, Deploys, Feed, Prices, Trades};
use super::prompts::Prompts;
use super::random::Random;
use super::topic::Topic;

/// Returns the gateway's part of `/status`, any JSON. Called once a second per reader, so it must be quick.
pub type Status = Arc<dyn Fn() -> Value + Send + Sync>;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A running producer. Dropping it stops it and closes its connections.
pub struct Producer {
    address: SocketAddr,
    topics: Arc<Topics>,
    prompts: Arc<Prompts>,
    _stop: DropGuard,
}

impl Producer {
    /// Maximum number of connections.
    pub const CONNECTIONS: usize = 256;

    /// Binds a free port of 127.0.0.1 and serves it on tasks given to `spawn`.
    ///
    /// # Errors
    /// No port can be bound, or the system has no randomness.
    pub async fn start<S>(status: Status, spawn: S) -> io::Result<Self>
    where
        S: Fn(BoxFuture<'static, ()>) + Send + Sync + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let spawn: Spawn = Arc::new(spawn);
        let stop = CancellationToken::new();
        let mut random = Random::seeded(getrandom::u64().map_err(io::Error::other)?);
        let life: Arc<str> = format!("{:04x}", (random.uniform() * 65_536.0) as u32).into();
        let mut topics = Topics::new();
        for (path, feed) in feeds() {
            let topic = Arc::new(Topic::new(Arc::clone(&life)));
            let seed = Random::seeded(random.uniform().to_bits());
            spawn(stopped_by(&stop, publish(Arc::clone(&topic), feed, seed)));
            topics.insert(path, topic);
        }
        let topics = Arc::new(topics);
        let prompts = Arc::new(Prompts::default());
        let site = Arc::new(Site { topics: Arc::clone(&topics), prompts: Arc::clone(&prompts), status });
        spawn(stopped_by(&stop, accept(listener, site, Arc::clone(&spawn), stop.clone())));
        Ok(Self { address, topics, prompts, _stop: stop.drop_guard() })
    }

    /// Returns the address of the producer.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of connections to each stream, by path. Lists every stream, also at 0.
    pub fn connections(&self) -> BTreeMap<String, usize> {
        readers(&self.topics, &self.prompts)
    }
}

/// The streams by path.
type Topics = BTreeMap<String, Arc<Topic>>;

/// Runs a task of the demo.
pub type Spawn = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// The state that every connection needs.
struct Site {
    topics: Arc<Topics>,
    prompts: Arc<Prompts>,
    status: Status,
}

impl Site {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        if path == Prompts::PATH {
            return self.answer_prompt(request).await;
        }
        let topic = self.topics.get(path);
        if topic.is_none() && path != "/status" {
            return refusal(StatusCode::NOT_FOUND);
        }
        if request.method() != Method::GET {
            return wrong_method("GET");
        }
        let body = match topic {
            Some(topic) => {
                let id = request.headers().get("last-event-id").and_then(|id| id.to_str().ok());
                let reader = Arc::clone(topic).read(id);
                let messages = stream::unfold(reader, |mut reader| async move { Some((reader.next().await, reader)) });
                StreamBody::new(messages.map(frame)).boxed_unsync()
            }
            None => StreamBody::new(self.statuses().map(frame)).boxed_unsync(),
        };
        events(body)
    }

    async fn answer_prompt(&self, request: Request<Incoming>) -> Response<Body> {
        if request.method() != Method::POST {
            return wrong_method("POST");
        }
        let Ok(body) = Limited::new(request.into_body(), Prompts::MAX_BODY_BYTES).collect().await else {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE);
        };
        let Ok(seed) = getrandom::u64() else { return refusal(StatusCode::SERVICE_UNAVAILABLE) };
        match Arc::clone(&self.prompts).answer(&body.to_bytes(), Random::seeded(seed)) {
            Some(answer) => events(StreamBody::new(answer.map(frame)).boxed_unsync()),
            None => refusal(StatusCode::BAD_REQUEST),
        }
    }

    /// Streams the status at once and then once a second, without ids, because only the newest matters.
    fn statuses(&self) -> impl futures_util::Stream<Item = Bytes> + Send + use<> {
        let (topics, prompts, status) = (Arc::clone(&self.topics), Arc::clone(&self.prompts), Arc::clone(&self.status));
        let mut clock = tokio::time::interval(Duration::from_secs(1));
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        stream::unfold((clock, topics, prompts, status), |(mut clock, topics, prompts, status)| async move {
            clock.tick().await;
            let data = json!({ "producer": { "connections": readers(&topics, &prompts) }, "gateway": status() });
            Some((Bytes::from(format!("data: {data}\n\n")), (clock, topics, prompts, status)))
        })
    }
}

fn readers(topics: &Topics, prompts: &Prompts) -> BTreeMap<String, usize> {
    let readers = topics.iter().map(|(path, topic)| (path.clone(), topic.readers()));
    readers.chain([(Prompts::PATH.to_owned(), prompts.in_progress())]).collect()
}

fn events(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    response
}

fn wrong_method(allowed: &'static str) -> Response<Body> {
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    response
}

fn frame(bytes: Bytes) -> Result<Frame<Bytes>, Infallible> {
    Ok(Frame::data(bytes))
}

fn refusal(status: StatusCode) -> Response<Body> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut response = Response::new(Full::from(format!("{reason}\n")).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    response
}

fn feeds() -> Vec<(String, Box<dyn Feed>)> {
    let mut feeds: Vec<(String, Box<dyn Feed>)> = vec![
        ("/deploys".into(), Box::new(Deploys::default())),
        ("/trades".into(), Box::new(Trades::default())),
        ("/tokens".into(), Box::new(Answers::default())),
    ];
    for instrument in Prices::INSTRUMENTS {
        feeds.push((format!("/prices/{}", instrument.symbol), Box::new(Prices::of(instrument))));
    }
    feeds
}

fn stopped_by(stop: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) -> BoxFuture<'static, ()> {
    let stop = stop.clone();
    Box::pin(async move {
        stop.run_until_cancelled_owned(work).await;
    })
}

async fn publish(topic: Arc<Topic>, mut feed: Box<dyn Feed>, mut random: Random) {
    loop {
        let batch = feed.next(&mut random);
        tokio::time::sleep(batch.wait).await;
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        for message in batch.messages {
            topic.publish(message, at);
        }
    }
}

async fn accept(listener: TcpListener, site: Arc<Site>, spawn: Spawn, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(Producer::CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((socket, _)) => {
                let site = Arc::clone(&site);
                spawn(stopped_by(&stop, async move {
                    serve(socket, site).await;
                    drop(place);
                }));
            }
            Err(error) => {
                // Most likely out of file descriptors, so an immediate retry would not help.
                warn!(%error, "the demo producer cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(socket: TcpStream, site: Arc<Site>) {
    let service = service_fn(|request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10)).max_buf_size(16 * 1024);
    if let Err(error) = http.serve_connection(TokioIo::new(socket), service).await {
        // Readers disconnect in the middle of a response that has no end.
        debug!(%error, "a connection to the demo producer ended");
    }
}

#[cfg(test)]
mod tests;
