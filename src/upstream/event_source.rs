//! An [`EventSource`] over HTTP, which reads one stream like an event source of the HTML standard.
//!
//! The request is built from scratch. It holds nothing of a client except the values that the route shares. A response
//! that is not an event stream is an error here and never reaches a client. The ingest does the retries.

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

use super::chained::Chained;
use super::connection::{ConnectError, UpstreamExchange, send_request};
use super::connector::Connector;
use super::live_upstream::LiveUpstream;
use super::resource::Resource;
use super::response_head::{ResponseKind, classify, continuity};
use super::settings::{Origin, UpstreamSettings};
use crate::runtime::side_waker::SideWaker;
use crate::sse::{EventId, Parser};
use crate::stream::{Batch, EventSource, Interrupted, OpenError, Opened};

/// Most redirects that one attempt follows, all within the origin.
const MAX_REDIRECTS: usize = 5;

/// The source of one stream's events.
#[derive(Debug)]
pub struct HttpEventSource {
    connector: Connector,
    upstream: Arc<LiveUpstream>,
    /// The settings of the last attempt.
    last_used: Mutex<Arc<UpstreamSettings>>,
    resource: Resource,
    /// Headers with the values that the route's clients share.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The trace context of the request that opened the stream. A configured header of the same name replaces it.
    trace: Vec<(HeaderName, HeaderValue)>,
}

impl HttpEventSource {
    /// Creates the source of one stream. `headers` are sent in addition to the configured ones.
    pub fn new(
        connector: Connector,
        upstream: Arc<LiveUpstream>,
        resource: Resource,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Self {
        let last_used = Mutex::new(upstream.settings());
        Self { connector, upstream, last_used, resource, headers, trace: Vec::new() }
    }

    /// Sends this trace context with each attempt.
    pub fn with_trace(self, trace: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { trace, ..self }
    }

    /// Opens with the settings in force. Starts over when the secrets change meanwhile, because an upstream may keep a
    /// client with old credentials waiting.
    async fn open_current(&self, after: Option<EventId>) -> Result<Opened, OpenError> {
        loop {
            let settings = self.upstream.settings();
            *self.last_used.lock() = settings.clone();
            tokio::select! {
                outcome = self.open_first_available(&settings, after.as_ref()) => return outcome,
                () = self.upstream.credentials_changed(&settings) => {}
            }
        }
    }

    /// Tries the origins in order. Goes on to the next one if an origin is down, and stops if one refuses.
    async fn open_first_available(
        &self,
        settings: &Arc<UpstreamSettings>,
        after: Option<&EventId>,
    ) -> Result<Opened, OpenError> {
        let mut last_error = None;
        for origin in &settings.origins {
            let open_timeout = settings.open_timeout;
            let outcome = timeout(open_timeout, self.open_at(settings, origin, after))
                .await
                .unwrap_or(Err(OpenError::TimedOut(open_timeout)));
            match outcome {
                Err(error) if error.is_down() => last_error = Some(error),
                decided => return decided,
            }
        }
        Err(last_error.expect("an upstream has an origin"))
    }

    async fn open_at(
        &self,
        settings: &Arc<UpstreamSettings>,
        origin: &Origin,
        after: Option<&EventId>,
    ) -> Result<Opened, OpenError> {
        let mut path = self.resource.request_target(origin);
        if let Some(id) = after {
            settings.resume.add_query(&mut path, id);
        }
        for _ in 0..=MAX_REDIRECTS {
            let request = self.request(settings, origin, &path, after)?;
            let exchange =
                send_request(&self.connector, settings, origin, request).await.map_err(|error| match error {
                    ConnectError::Unreachable(reason) => OpenError::Unreachable(reason),
                    ConnectError::Closed(reason) => OpenError::ClosedEarly(format!(
                        "{} closed the connection without a response: {reason}",
                        origin.address()
                    )),
                    ConnectError::InvalidResponse(reason) => {
                        OpenError::InvalidResponse(format!("the upstream's response is broken: {reason}"))
                    }
                })?;
            match classify(origin, settings.header(&HOST), &path, &exchange.response)? {
                ResponseKind::EventStream => {
                    let continuity = continuity(exchange.response.headers(), after);
                    return Ok(Opened { items: self.items(settings, exchange), continuity });
                }
                ResponseKind::Redirect(next) => path = next,
            }
        }
        Err(OpenError::InvalidResponse(format!("the upstream redirected more than {MAX_REDIRECTS} times")))
    }

    fn request(
        &self,
        settings: &UpstreamSettings,
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
            .map_err(|error| OpenError::InvalidResponse(format!("invalid upstream path: {error}")))?;
        let headers = request.headers_mut();
        if let Some((name, id)) = after.and_then(|id| settings.resume.header(id)) {
            headers.insert(name, id);
        }
        for (name, value) in self.trace.iter().chain(&settings.headers).chain(&self.headers) {
            headers.insert(name, value.clone());
        }
        Ok(request)
    }

    fn items(
        &self,
        settings: &Arc<UpstreamSettings>,
        exchange: UpstreamExchange,
    ) -> stream::BoxStream<'static, Result<Batch, Interrupted>> {
        let (upstream, opened_with) = (self.upstream.clone(), settings.clone());
        let credentials_changed = async move { upstream.credentials_changed(&opened_with).await };
        let chained = Chained::of(exchange.response.headers());
        let parser = Parser::new(settings.max_event);
        let reader = Reader {
            credentials_changed: credentials_changed.boxed().fuse(),
            side_waker: SideWaker::default(),
            exchange,
            unread: Bytes::new(),
            parser: if chained.is_some() { Chained::parser(parser) } else { parser },
            chained,
            idle_timeout: settings.idle_timeout,
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
        let last_used = self.last_used.lock().clone();
        async move { self.upstream.credentials_changed(&last_used).await }.boxed()
    }
}

struct Reader {
    /// Completes when the secrets differ from those that opened the response.
    credentials_changed: Fuse<BoxFuture<'static, ()>>,
    side_waker: SideWaker,
    exchange: UpstreamExchange,
    /// Bytes that were received and not parsed yet.
    unread: Bytes,
    parser: Parser,
    chained: Option<Chained>,
    idle_timeout: Option<Duration>,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Batch, Interrupted>> {
        if self.unread.is_empty() {
            let data = poll_fn(|cx| {
                if let Some(waker) = self.side_waker.poll_due(cx)
                    && self.credentials_changed.poll_unpin(&mut Context::from_waker(waker)).is_ready()
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
        let data = self.unread.split_to(self.unread.len().min(PARSE_BYTES));
        let mut batch = Batch { items: Vec::new(), bytes: data.len() };
        self.parser.push(&data, &mut batch.items);
        if let Some(chained) = &mut self.chained {
            chained.translate_items(&mut batch.items);
        }
        Some(Ok(batch))
    }
}

/// Most bytes that are parsed at once, so that the caller can yield in between.
const PARSE_BYTES: usize = 16 * 1024;
