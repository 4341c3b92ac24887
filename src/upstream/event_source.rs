//! An [`EventSource`] over HTTP, which reads one stream like an event source of the HTML standard.
//!
//! The request is built from scratch. It holds nothing of a client except the values that the route shares. A response
//! that is not an event stream is an error here and never reaches a client. The ingest does the retries.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use tokio::time::timeout;

use super::chained::Chained;
use super::connection::{ConnectError, UpstreamExchange, send_request};
use super::request_target::request_target;
use super::response_head::{ResponseKind, classify, continuity};
use super::settings::{Origin, UpstreamSettings};
use crate::runtime::connect_budget::ConnectBudget;
use crate::runtime::excerpt::quote;
use crate::sse::{EventId, Parser};
use crate::stream::{Batch, EventSource, Interrupted, OpenError, Opened, SourceHeader, SourceMethod, SourceRequest};

/// Most redirects that one attempt follows, all within the origin.
const MAX_REDIRECTS: usize = 5;

/// The source of one stream's events.
pub(super) struct HttpEventSource {
    settings: Arc<UpstreamSettings>,
    stream_request: Arc<SourceRequest>,
    budget: ConnectBudget,
}

impl HttpEventSource {
    /// Creates the source of one stream.
    pub(super) fn new(
        settings: Arc<UpstreamSettings>,
        stream_request: Arc<SourceRequest>,
        budget: ConnectBudget,
    ) -> Self {
        Self { settings, stream_request, budget }
    }

    /// Tries the origins in order. Goes on to the next one if an origin is down, and stops if one refuses.
    async fn open_first_available(&self, after: Option<&EventId>) -> Result<Opened, OpenError> {
        let mut last_error = None;
        for origin in &self.settings.origins {
            let open_timeout = self.settings.open_timeout;
            let outcome = timeout(open_timeout, self.open_at(origin, after))
                .await
                .unwrap_or(Err(OpenError::TimedOut(open_timeout)));
            match outcome {
                Err(error) if error.is_down() => last_error = Some(error),
                decided => return decided,
            }
        }
        Err(last_error.expect("an upstream has an origin"))
    }

    async fn open_at(&self, origin: &Origin, after: Option<&EventId>) -> Result<Opened, OpenError> {
        let settings = &self.settings;
        let mut path = request_target(origin, &self.stream_request.path, &self.stream_request.query);
        if let Some(id) = after {
            settings.resume.add_query(&mut path, id);
        }
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.request(origin, &path, after)?;
            if let Some(token) = &settings.token {
                let authorization = token.authorization(&settings.name).await;
                request.headers_mut().entry(AUTHORIZATION).or_insert(authorization);
            }
            let exchange =
                send_request(&self.budget, settings, origin, request).await.map_err(|error| match error {
                    ConnectError::Unreachable(reason) => OpenError::Unreachable(reason),
                    ConnectError::Closed(reason) => OpenError::ClosedEarly(format!(
                        "{} closed the connection without a response: {reason}",
                        origin.address()
                    )),
                    ConnectError::InvalidResponse(reason) => {
                        OpenError::Invalid(format!("the upstream's response is broken: {reason}"))
                    }
                })?;
            match classify(origin, settings.header(&HOST), &path, &exchange.response)? {
                ResponseKind::EventStream => {
                    let continuity = continuity(exchange.response.headers(), after);
                    return Ok(Opened { retained: Vec::new(), items: self.items(exchange), continuity });
                }
                // Other redirects of a request with a body may drop it (RFC 9110, 15.4.2 to 15.4.4).
                ResponseKind::Redirect(_)
                    if self.stream_request.method == SourceMethod::Post
                        && !matches!(
                            exchange.response.status(),
                            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
                        ) =>
                {
                    let status = exchange.response.status().as_u16();
                    return Err(OpenError::Invalid(format!("the upstream redirects a POST with {status}")));
                }
                ResponseKind::Redirect(next) => path = next,
            }
        }
        Err(OpenError::Invalid(format!("the upstream redirected more than {MAX_REDIRECTS} times")))
    }

    fn request(&self, origin: &Origin, path: &str, after: Option<&EventId>) -> Result<Request<Full<Bytes>>, OpenError> {
        let SourceRequest { method, headers: shared, body, trace, .. } = &*self.stream_request;
        let method = match method {
            SourceMethod::Get => Method::GET,
            SourceMethod::Post => Method::POST,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, origin.authority.as_str())
            .header(ACCEPT, "text/event-stream")
            .header(ACCEPT_ENCODING, "identity")
            .header(CACHE_CONTROL, "no-cache")
            .header(USER_AGENT, concat!("rillgate/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body.clone()))
            .map_err(|error| OpenError::Invalid(format!("invalid upstream path: {error}")))?;
        let headers = request.headers_mut();
        if let Some((name, id)) = after.and_then(|id| self.settings.resume.header(id)) {
            headers.insert(name, id);
        }
        // A later one replaces an earlier one of the same name.
        trace.iter().try_for_each(|header| insert(headers, header))?;
        for (name, value) in &self.settings.headers {
            headers.insert(name, value.clone());
        }
        shared.iter().try_for_each(|header| insert(headers, header))?;
        Ok(request)
    }

    fn items(&self, mut exchange: UpstreamExchange) -> stream::BoxStream<'static, Result<Batch, Interrupted>> {
        let chained = Chained::of(exchange.response.headers());
        // They refer to the connection's first buffer, which would stay for as long as the stream.
        *exchange.response.headers_mut() = HeaderMap::new();
        let parser = Parser::new(self.settings.max_event);
        let reader = Reader {
            exchange,
            unread: Bytes::new(),
            parser: if chained.is_some() { Chained::parser(parser) } else { parser },
            chained,
            idle_timeout: self.settings.idle_timeout,
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
        async move { self.open_first_available(after.as_ref()).await }.boxed()
    }

    fn can_overlap_after(&self, id: &EventId) -> bool {
        self.settings.is_overlapping && self.settings.resume.can_carry(id)
    }
}

/// Sets a header of the stream's request.
fn insert(headers: &mut HeaderMap, header: &SourceHeader) -> Result<(), OpenError> {
    let name = HeaderName::from_bytes(header.name.as_bytes()).ok();
    let value = HeaderValue::from_bytes(&header.value).ok();
    let invalid =
        || OpenError::Invalid(format!("invalid header of the upstream request: {}", quote(header.name.as_bytes())));
    let (name, value) = name.zip(value).ok_or_else(invalid)?;
    headers.insert(name, value);
    Ok(())
}

struct Reader {
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
            let data = poll_fn(|cx| self.exchange.poll_data(cx).map_err(Interrupted::Broken));
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
        let mut batch = Batch { items: Vec::new(), bytes: data.len(), incomplete: 0 };
        self.parser.push(&data, &mut batch.items);
        batch.incomplete = self.parser.memory();
        if let Some(chained) = &mut self.chained {
            chained.translate_items(&mut batch.items);
        }
        Some(Ok(batch))
    }
}

/// Most bytes that are parsed at once, so that the caller can yield in between.
const PARSE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests;
