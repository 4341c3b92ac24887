//! An [`EventSource`] over HTTP: what an event source of the HTML standard does, for one stream.
//!
//! The request is built from scratch and holds nothing of any client but what the route shares. A response that is not an
//! event stream is refused here and never reaches a client. Does not retry: that is the ingest's.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::Empty;
use tokio::time::timeout;

use super::answer::{Answer, continuity, judge};
use super::connection::{ConnectError, Exchange, exchange};
use super::target::{Origin, Target};
use crate::sse::{EventId, Parser};
use crate::stream::{Batch, EventSource, Interrupted, OpenError, Opened};

/// Redirects followed for one open, all on the same origin.
const REDIRECTS: usize = 5;

/// One stream's upstream.
#[derive(Debug)]
pub struct HttpEventSource {
    target: Arc<Target>,
    /// Path and query asked for, starting with a slash, put behind the origin's base.
    path_and_query: String,
    /// What the route shares of its clients.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Which request opened it. Weaker than the others: a configured header of the same name is sent in its place.
    trace: Vec<(HeaderName, HeaderValue)>,
}

impl HttpEventSource {
    /// For one stream: where it is, and what is sent besides the target's own headers.
    pub fn new(target: Arc<Target>, path_and_query: String, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { target, path_and_query, headers, trace: Vec::new() }
    }

    /// Tells the upstream with each connect which request opened the stream.
    pub fn traced(self, trace: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { trace, ..self }
    }

    /// Tries the origins in order: the next one when one is down, none further when one has refused.
    async fn open_any(&self, after: Option<EventId>) -> Result<Opened, OpenError> {
        let mut last = None;
        for origin in &self.target.origins {
            let wait = self.target.open_timeout;
            let outcome =
                timeout(wait, self.open_at(origin, after.as_ref())).await.unwrap_or(Err(OpenError::Silent(wait)));
            match outcome {
                Err(error) if error.is_down() => last = Some(error),
                decided => return decided,
            }
        }
        Err(last.expect("a target has an origin"))
    }

    async fn open_at(&self, origin: &Origin, after: Option<&EventId>) -> Result<Opened, OpenError> {
        let mut path = format!("{}{}", origin.base, self.path_and_query);
        if let Some(id) = after {
            self.target.resume.add_query(&mut path, id);
        }
        for _ in 0..=REDIRECTS {
            let request = self.request(origin, &path, after)?;
            let exchange = exchange(&self.target, origin, request).await.map_err(|error| match error {
                ConnectError::Unreachable(why) => OpenError::Unreachable(why),
                ConnectError::Closed(why) => {
                    OpenError::Dropped(format!("{} closed the connection without an answer: {why}", origin.address()))
                }
                ConnectError::Broken(why) => OpenError::Wrong(format!("the upstream's response is broken: {why}")),
            })?;
            match judge(origin, self.target.header(&HOST), &path, &exchange.response)? {
                Answer::Stream => {
                    let (is_continued, is_gap) = continuity(exchange.response.headers(), after);
                    return Ok(Opened { items: self.items(exchange), is_continued, is_gap });
                }
                Answer::Redirect(next) => path = next,
            }
        }
        Err(OpenError::Wrong(format!("the upstream redirected more than {REDIRECTS} times")))
    }

    fn request(
        &self,
        origin: &Origin,
        path: &str,
        after: Option<&EventId>,
    ) -> Result<Request<Empty<Bytes>>, OpenError> {
        let mut request = Request::get(path)
            .header(HOST, origin.authority.as_str())
            .header(ACCEPT, "text/event-stream")
            .header(ACCEPT_ENCODING, "identity")
            .header(CACHE_CONTROL, "no-cache")
            .header(USER_AGENT, concat!("rillgate/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| OpenError::Wrong(format!("the upstream's path cannot be asked for: {error}")))?;
        let headers = request.headers_mut();
        if let Some((name, id)) = after.and_then(|id| self.target.resume.header(id)) {
            headers.insert(name, id);
        }
        for (name, value) in self.trace.iter().chain(&self.target.headers).chain(&self.headers) {
            headers.insert(name, value.clone());
        }
        Ok(request)
    }

    fn items(&self, exchange: Exchange) -> stream::BoxStream<'static, Result<Batch, Interrupted>> {
        let reader = Reader {
            exchange,
            unread: Bytes::new(),
            parser: Parser::new(self.target.max_event),
            idle_timeout: self.target.idle_timeout,
            failed: None,
        };
        stream::unfold(reader, |mut reader| async {
            let batch = reader.next().await?;
            Some((batch, reader))
        })
        .boxed()
    }
}

impl EventSource for HttpEventSource {
    fn open(&self, after: Option<EventId>) -> BoxFuture<'_, Result<Opened, OpenError>> {
        self.open_any(after).boxed()
    }
}

struct Reader {
    exchange: Exchange,
    /// Of what was read last, what the parser has not had.
    unread: Bytes,
    parser: Parser,
    idle_timeout: Option<Duration>,
    /// To be told after the items that came before it.
    failed: Option<Interrupted>,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Batch, Interrupted>> {
        if let Some(failed) = self.failed.take() {
            return Some(Err(failed));
        }
        if self.unread.is_empty() {
            let data = poll_fn(|cx| self.exchange.poll_data(cx));
            let data = match self.idle_timeout {
                Some(idle) => match timeout(idle, data).await {
                    Ok(data) => data,
                    Err(_) => return Some(Err(Interrupted::Idle(idle))),
                },
                None => data.await,
            };
            match data? {
                Ok(data) => self.unread = data,
                Err(why) => return Some(Err(Interrupted::Broken(why))),
            }
        }
        let data = self.unread.split_to(self.unread.len().min(PIECE));
        let mut batch = Batch { items: Vec::new(), bytes: data.len() };
        if let Err(too_large) = self.parser.push(&data, &mut batch.items) {
            self.failed = Some(Interrupted::TooLarge(too_large.to_string()));
        }
        Some(Ok(batch))
    }
}

/// Most bytes that are parsed at once: whoever takes what comes of them can give way in between.
const PIECE: usize = 16 * 1024;
