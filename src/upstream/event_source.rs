//! An [`EventSource`] over HTTP: what an event source of the HTML standard does, for one stream.
//!
//! The request is built from scratch and holds nothing of any client but what the route shares. A response that is not an
//! event stream is refused here and never reaches a client. Does not retry: that is the ingest's.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use tokio::time::timeout;
use url::Url;

use super::connection::{ConnectError, Exchange, exchange};
use super::target::{Origin, Target};
use crate::sse::{EventId, Parser};
use crate::stream::{Batch, EventSource, Interrupted, LONGEST_RETRY_AFTER, OpenError, Opened};

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
        for _ in 0..=REDIRECTS {
            let request = self.request(origin, &path, after)?;
            let exchange = exchange(&self.target, origin, request).await.map_err(|error| match error {
                ConnectError::Unreachable(why) => OpenError::Unreachable(why),
                ConnectError::Closed(why) => OpenError::Dropped(why),
                ConnectError::Broken(why) => OpenError::Wrong(format!("the upstream's response is broken: {why}")),
            })?;
            match self.judge(origin, &path, &exchange.response)? {
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
        // An id that no header can carry is left out, never shortened.
        if let Some(id) = after.and_then(|id| HeaderValue::from_bytes(id.as_str().as_bytes()).ok()) {
            headers.insert("last-event-id", id);
        }
        for (name, value) in self.trace.iter().chain(&self.target.headers).chain(&self.headers) {
            headers.insert(name, value.clone());
        }
        Ok(request)
    }

    fn judge<B>(&self, origin: &Origin, path: &str, response: &Response<B>) -> Result<Answer, OpenError> {
        let status = response.status();
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        match status {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT => return Err(OpenError::Complete),
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(OpenError::NotFound { status: status.as_u16() }),
            StatusCode::TOO_MANY_REQUESTS => {
                return Err(OpenError::Busy { retry_after: header(RETRY_AFTER).and_then(retry_after) });
            }
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => return self.redirect(origin, path, header(LOCATION)),
            _ if status.is_server_error() => {
                // RFC 9110, 15.6.4: of these, 503 is the one that says for how long.
                let wanted = header(RETRY_AFTER).filter(|_| status == StatusCode::SERVICE_UNAVAILABLE);
                return Err(OpenError::Failing { status: status.as_u16(), retry_after: wanted.and_then(retry_after) });
            }
            _ => return Err(OpenError::Wrong(format!("the upstream answered {}", status.as_u16()))),
        }
        let content_type = header(CONTENT_TYPE).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("text/event-stream") {
            return Err(OpenError::Wrong(format!("the upstream's content type is {essence:?}, not text/event-stream")));
        }
        match header(CONTENT_ENCODING) {
            Some(encoding) if !encoding.trim().eq_ignore_ascii_case("identity") => {
                Err(OpenError::Wrong(format!("the upstream compressed its response ({encoding:?}) unasked")))
            }
            _ => Ok(Answer::Stream),
        }
    }

    /// Followed only within the origin: the answer of another one would be another one's word for this stream.
    fn redirect(&self, origin: &Origin, path: &str, location: Option<&str>) -> Result<Answer, OpenError> {
        let here = Url::parse(&format!("{}://{}{path}", origin.scheme, origin.authority));
        let next = location.and_then(|location| here.ok().map(|here| (here.join(location), here)));
        match next {
            Some((Ok(next), here)) if next.origin() == here.origin() => {
                let query = next.query().map(|query| format!("?{query}")).unwrap_or_default();
                Ok(Answer::Redirect(format!("{}{query}", next.path())))
            }
            _ => Err(OpenError::Wrong("the upstream redirects to another origin".to_owned())),
        }
    }

    fn items(&self, exchange: Exchange) -> stream::BoxStream<'static, Result<Batch, Interrupted>> {
        let reader = Reader {
            exchange,
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

/// Whether the head of the answer says that the upstream goes on after the id that it was asked for, and whether it says
/// that it does not: as another rillgate does, or as hubs of the Mercure protocol do, which name the id after which they
/// begin (draft-dunglas-mercure, "Reconciliation").
fn continuity(answer: &HeaderMap, asked: Option<&EventId>) -> (bool, bool) {
    let begins_after = || Some(answer.get("last-event-id")?.as_bytes() == asked?.as_str().as_bytes());
    match answer.get("rillgate-resume") {
        Some(verdict) => (verdict.as_bytes().starts_with(b"resumed"), verdict.as_bytes().starts_with(b"gap")),
        None => begins_after().map_or((false, false), |is_asked| (is_asked, !is_asked)),
    }
}

/// Seconds or a date (RFC 9110, 10.2.3); one that has passed is no wait, one that is far off [`LONGEST_RETRY_AFTER`].
fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    let wanted = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are still a wish to be left alone.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).unwrap_or_default()
    };
    Some(wanted.min(LONGEST_RETRY_AFTER))
}

enum Answer {
    Stream,
    Redirect(String),
}

struct Reader {
    exchange: Exchange,
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
        let data = poll_fn(|cx| self.exchange.poll_data(cx));
        let data = match self.idle_timeout {
            Some(idle) => match timeout(idle, data).await {
                Ok(data) => data,
                Err(_) => return Some(Err(Interrupted::Idle(idle))),
            },
            None => data.await,
        };
        match data? {
            Ok(data) => {
                let mut batch = Batch { items: Vec::new(), bytes: data.len() };
                if let Err(too_large) = self.parser.push(&data, &mut batch.items) {
                    self.failed = Some(Interrupted::TooLarge(too_large.to_string()));
                }
                Some(Ok(batch))
            }
            Err(why) => Some(Err(Interrupted::Broken(why))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_be_left_alone_is_seconds_or_a_date() {
        let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));

        let in_a_minute = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));

        assert_eq!(retry_after(" 120"), Some(Duration::from_secs(120)));
        assert!(retry_after(&in_a_minute).is_some_and(|wait| (55..=60).contains(&wait.as_secs())));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!((retry_after("soon"), retry_after("-1"), retry_after("")), (None, None, None));
        for far_off in ["86400", "18446744073709551615", "99999999999999999999999", &*in_an_hour] {
            assert_eq!(retry_after(far_off), Some(LONGEST_RETRY_AFTER), "{far_off}");
        }
    }
}
