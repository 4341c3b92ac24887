//! An [`EventSource`] over HTTP: what an event source of the HTML standard does, for one stream.
//!
//! The request is built from scratch and holds nothing of any client but what the route shares. A response that is not an
//! event stream is refused here and never reaches a client. Does not retry: that is the ingest's.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, Fuse, FutureExt};
use futures_util::stream::{self, StreamExt};
use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::Empty;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::answer::{Answer, continuity, judge};
use super::chained::Chained;
use super::connection::{ConnectError, UpstreamExchange, exchange};
use super::current::Current;
use super::resource::Resource;
use super::target::{Origin, UpstreamSettings};
use crate::runtime::side_waker::SideWaker;
use crate::sse::{EventId, Parser};
use crate::stream::{Batch, EventSource, Interrupted, OpenError, Opened};

/// Redirects followed for one open, all on the same origin.
const REDIRECTS: usize = 5;

/// One stream's upstream.
#[derive(Debug)]
pub struct HttpEventSource {
    upstream: Arc<Current>,
    /// The target of the last attempt.
    tried: Mutex<Arc<UpstreamSettings>>,
    resource: Resource,
    /// What the route shares of its clients.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Which request opened it. Weaker than the others: a configured header of the same name is sent in its place.
    trace: Vec<(HeaderName, HeaderValue)>,
}

impl HttpEventSource {
    /// For one stream: where it is, and what is sent besides the target's own headers.
    pub fn new(upstream: Arc<Current>, resource: Resource, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        let tried = Mutex::new(upstream.target());
        Self { upstream, tried, resource, headers, trace: Vec::new() }
    }

    /// Tells the upstream with each connect which request opened the stream.
    pub fn traced(self, trace: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { trace, ..self }
    }

    /// Begins anew when the secrets change meanwhile: an upstream may keep whoever shows old ones waiting.
    async fn open_current(&self, after: Option<EventId>) -> Result<Opened, OpenError> {
        loop {
            let target = self.upstream.target();
            *self.tried.lock() = target.clone();
            tokio::select! {
                outcome = self.open_any(&target, after.as_ref()) => return outcome,
                () = self.upstream.renewed(&target) => {}
            }
        }
    }

    /// Tries the origins in order: the next one when one is down, none further when one has refused.
    async fn open_any(&self, target: &Arc<UpstreamSettings>, after: Option<&EventId>) -> Result<Opened, OpenError> {
        let mut last = None;
        for origin in &target.origins {
            let wait = target.open_timeout;
            let outcome =
                timeout(wait, self.open_at(target, origin, after)).await.unwrap_or(Err(OpenError::TimedOut(wait)));
            match outcome {
                Err(error) if error.is_down() => last = Some(error),
                decided => return decided,
            }
        }
        Err(last.expect("a target has an origin"))
    }

    async fn open_at(
        &self,
        target: &Arc<UpstreamSettings>,
        origin: &Origin,
        after: Option<&EventId>,
    ) -> Result<Opened, OpenError> {
        let mut path = self.resource.at(origin);
        if let Some(id) = after {
            target.resume.add_query(&mut path, id);
        }
        for _ in 0..=REDIRECTS {
            let request = self.request(target, origin, &path, after)?;
            let exchange = exchange(target, origin, request).await.map_err(|error| match error {
                ConnectError::Unreachable(why) => OpenError::Unreachable(why),
                ConnectError::Closed(why) => OpenError::ClosedEarly(format!(
                    "{} closed the connection without an answer: {why}",
                    origin.address()
                )),
                ConnectError::Broken(why) => {
                    OpenError::InvalidResponse(format!("the upstream's response is broken: {why}"))
                }
            })?;
            match judge(origin, target.header(&HOST), &path, &exchange.response)? {
                Answer::Stream => {
                    let (is_continued, is_gap) = continuity(exchange.response.headers(), after);
                    return Ok(Opened { items: self.items(target, exchange), is_continued, is_gap });
                }
                Answer::Redirect(next) => path = next,
            }
        }
        Err(OpenError::InvalidResponse(format!("the upstream redirected more than {REDIRECTS} times")))
    }

    fn request(
        &self,
        target: &UpstreamSettings,
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
            .map_err(|error| OpenError::InvalidResponse(format!("the upstream's path cannot be asked for: {error}")))?;
        let headers = request.headers_mut();
        if let Some((name, id)) = after.and_then(|id| target.resume.header(id)) {
            headers.insert(name, id);
        }
        for (name, value) in self.trace.iter().chain(&target.headers).chain(&self.headers) {
            headers.insert(name, value.clone());
        }
        Ok(request)
    }

    fn items(
        &self,
        target: &Arc<UpstreamSettings>,
        exchange: UpstreamExchange,
    ) -> stream::BoxStream<'static, Result<Batch, Interrupted>> {
        let (upstream, with) = (self.upstream.clone(), target.clone());
        let renewal = async move { upstream.renewed(&with).await };
        let chained = Chained::of(exchange.response.headers());
        let parser = Parser::new(target.max_event);
        let reader = Reader {
            renewal: renewal.boxed().fuse(),
            aside: SideWaker::default(),
            exchange,
            unread: Bytes::new(),
            parser: if chained.is_some() { Chained::parser(parser) } else { parser },
            chained,
            idle_timeout: target.idle_timeout,
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
        self.open_current(after).boxed()
    }

    fn credentials_changed(&self) -> BoxFuture<'_, ()> {
        let tried = self.tried.lock().clone();
        async move { self.upstream.renewed(&tried).await }.boxed()
    }
}

struct Reader {
    /// Completes when there are other secrets than those that it was opened with.
    renewal: Fuse<BoxFuture<'static, ()>>,
    aside: SideWaker,
    exchange: UpstreamExchange,
    /// Of what was read last, what the parser has not had.
    unread: Bytes,
    parser: Parser,
    chained: Option<Chained>,
    idle_timeout: Option<Duration>,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Batch, Interrupted>> {
        if self.unread.is_empty() {
            let data = poll_fn(|cx| {
                if let Some(waker) = self.aside.poll_due(cx)
                    && self.renewal.poll_unpin(&mut Context::from_waker(waker)).is_ready()
                {
                    return Poll::Ready(Some(Err(Interrupted::CredentialsChanged)));
                }
                self.exchange.poll_data(cx).map_err(Interrupted::Broken)
            });
            let data = match self.idle_timeout {
                Some(idle) => match timeout(idle, data).await {
                    Ok(data) => data,
                    Err(_) => return Some(Err(Interrupted::IdleTimeout(idle))),
                },
                None => data.await,
            };
            match data? {
                Ok(data) => self.unread = data,
                Err(interrupted) => return Some(Err(interrupted)),
            }
        }
        let data = self.unread.split_to(self.unread.len().min(PIECE));
        let mut batch = Batch { items: Vec::new(), bytes: data.len() };
        self.parser.push(&data, &mut batch.items);
        if let Some(chained) = &mut self.chained {
            chained.translate(&mut batch.items);
        }
        Some(Ok(batch))
    }
}

/// Most bytes that are parsed at once: whoever takes what comes of them can give way in between.
const PIECE: usize = 16 * 1024;
