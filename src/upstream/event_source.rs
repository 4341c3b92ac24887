//! An [`EventSource`] over HTTP, which reads one stream like an event source of the HTML standard.
//!
//! The request is built from scratch. It holds nothing of a client except the values that the route shares. A response
//! that is not an event stream is an answer, and its body is not read. The ingest does the retries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use tokio::time::timeout;

use super::answer_reader::read_answer;
use super::connect_error::ConnectError;
use super::connection::send_request;
use super::request_target::request_target;
use super::response_head::{ResponseKind, classify, continuity};
use super::response_reader::ResponseReader;
use super::settings::{Origin, UpstreamSettings};
use crate::runtime::connect_budget::ConnectBudget;
use crate::runtime::excerpt::quote;
use crate::sse::EventId;
use crate::stream::{
    Continuity, EventSource, OpenError, OpenOutcome, Opened, SourceAnswer, SourceHeader, SourceMethod, SourceRequest,
};

/// Most redirects that one attempt follows, all within the origin.
const MAX_REDIRECTS: usize = 5;

/// The source of one stream's events.
pub(super) struct HttpEventSource {
    settings: Arc<UpstreamSettings>,
    stream_request: Arc<SourceRequest>,
    budget: ConnectBudget,
}

/// A response that is not an error.
enum Response {
    /// An event stream, whose verdict may follow in its body.
    Stream(Box<ResponseReader>, Continuity),
    /// Something else.
    Answer(SourceAnswer),
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

    /// Tries the origins in order. Goes on to the next one if an origin is down, and stops if one refuses, or may have
    /// received a request that must not be repeated.
    async fn open_first_available(&self, after: Option<&EventId>) -> Result<OpenOutcome, OpenError> {
        let mut last_outcome = None;
        for origin in &self.settings.origins {
            let open_timeout = self.settings.open_timeout;
            let outcome = match timeout(open_timeout, self.open_at(origin, after)).await {
                Ok(Ok(Response::Stream(reader, continuity))) => {
                    open_decided(*reader, continuity, open_timeout).await.map(OpenOutcome::Stream)
                }
                Ok(Ok(Response::Answer(answer))) => Ok(OpenOutcome::Answer(answer)),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(OpenError::TimedOut(open_timeout)),
            };
            let is_down = match &outcome {
                Ok(OpenOutcome::Stream(_)) => false,
                Ok(OpenOutcome::Answer(answer)) => answer.is_down(),
                Err(error) => error.is_down(),
            };
            let is_unsent = matches!(outcome, Err(OpenError::Unreachable(_)));
            if !is_down || !(is_unsent || self.stream_request.may_repeat()) {
                return outcome;
            }
            last_outcome = Some(outcome);
        }
        last_outcome.expect("an upstream has an origin")
    }

    async fn open_at(&self, origin: &Origin, after: Option<&EventId>) -> Result<Response, OpenError> {
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
            let exchange = send_request(&self.budget, settings, origin, request, self.stream_request.may_repeat())
                .await
                .map_err(|error| match error {
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
                    let reader = ResponseReader::new(exchange, settings.max_event, settings.idle_timeout);
                    return Ok(Response::Stream(Box::new(reader), continuity));
                }
                ResponseKind::Answer(answer) if self.stream_request.method == SourceMethod::Post => {
                    let content = Some(read_answer(exchange, self.budget.tasks()).await);
                    return Ok(Response::Answer(SourceAnswer { content, ..answer }));
                }
                ResponseKind::Answer(answer) => return Ok(Response::Answer(answer)),
                ResponseKind::Redirect(_) if !self.stream_request.may_repeat() => {
                    let status = exchange.response.status().as_u16();
                    return Err(OpenError::Invalid(format!("the upstream redirects a POST with {status}")));
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

    fn request(&self, origin: &Origin, path: &str, after: Option<&EventId>) -> Result<Request<Bytes>, OpenError> {
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
            .body(body.clone())
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
}

impl EventSource for HttpEventSource {
    fn open(&self, after: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        async move { self.open_first_available(after.as_ref()).await }.boxed()
    }

    fn can_overlap_after(&self, id: &EventId) -> bool {
        self.settings.is_overlapping && self.settings.resume.can_carry(id)
    }
}

/// Opens a response. If its upstream is a rillgate that has not told the verdict yet, waits for it, at most for `limit`: it
/// may still be a refusal.
async fn open_decided(
    mut reader: ResponseReader,
    mut continuity: Continuity,
    limit: Duration,
) -> Result<Opened, OpenError> {
    if reader.is_pending()
        && let Ok(decided) = timeout(limit, reader.decide()).await
    {
        continuity = decided?;
    }
    Ok(Opened { retained: Vec::new(), items: reader.into_items(), continuity })
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

#[cfg(test)]
mod tests;
