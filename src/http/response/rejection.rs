//! Refusals: status, reason, header fields and text. The only place where an error becomes a status code.
//!
//! A refusal is a problem document (RFC 9457) of the type `about:blank` with a member `reason`, which is also the
//! metric's label. The texts are for the client and tell nothing that is for the operator alone.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};

use self::rows::{ProblemDetails, row, size};
use super::headers::stream_headers;
use crate::auth::{Denied, TicketError};
use crate::forward::{ExchangeLimit, ForwardError};
use crate::http::stream_opens::StreamOpenRefusal;
use crate::http::subscription_limits::LimitExceeded;
use crate::route::path::PathFault;
use crate::route::pattern::{CaptureFault, Mismatch};
use crate::runtime::arithmetic;
use crate::sse::{Encoder, Event, EventId, Frame};
use crate::stream::{OpenError, SourceAnswer, StreamLimit};

mod post_refusal;
mod rows;

pub(crate) use post_refusal::PostRefusal;

/// The reason why a request gets no stream, or is not forwarded.
#[derive(Clone, Debug)]
pub enum Rejection {
    /// The request is malformed; the text says how.
    Malformed(Cow<'static, str>),
    /// The path has no canonical form.
    Path(PathFault),
    /// A captured segment of the path is too long or has a character that captures do not accept.
    Capture(CaptureFault),
    /// The token is missing, invalid, or does not cover the stream.
    Denied(Denied),
    /// No route matches the path.
    NoRoute,
    /// The route does not support this method.
    Method {
        /// The supported methods, as in `Allow`.
        allow: &'static str,
    },
    /// The request does not accept `text/event-stream`.
    NotAcceptable,
    /// The path is too long.
    PathTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// Path and query are too long together.
    UriTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// There are too many header fields.
    TooManyHeaders {
        /// The limit.
        max: usize,
    },
    /// The values that the route shares are too long together.
    SharedTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// The client's address has too many connections.
    TooManyConnections,
    /// The gateway has as many subscriptions as its limit allows.
    SubscribersFull,
    /// The token's subject has as many subscriptions as its limit allows.
    SubjectFull,
    /// No ticket can be issued for this token now.
    Ticket(TicketError),
    /// The client's address has as many subscriptions as its limit allows.
    AddressFull,
    /// The client's address has opened as many streams that only it reads as its limit allows.
    AddressStreamsFull,
    /// The client's address, or all clients of the route, open streams too fast.
    StreamOpens(StreamOpenRefusal),
    /// As many streams are open as the limit allows.
    StreamsFull,
    /// Resident memory is above its limit.
    Memory,
    /// The gateway is draining.
    Draining,
    /// The upstream refused the stream, or is down on a route with `when_down = "refuse"`.
    Upstream(Arc<OpenError>),
    /// The upstream broke off in the middle of a stream, and its request must not be repeated.
    UpstreamBroken,
    /// The upstream did not answer in time, on a route with `when_down = "refuse"`.
    UpstreamSilent,
    /// The request's body is larger than the route accepts.
    BodyTooLarge {
        /// The limit in bytes.
        max: u64,
        /// The route's key that sets it.
        key: &'static str,
    },
    /// A request about a stream that a `POST` opens or has opened.
    Post(PostRefusal),
    /// The request expects something other than `100-continue`.
    Expectation,
    /// As many requests are being forwarded as a limit allows.
    Exchanges(ExchangeLimit),
    /// A forwarded request has no response of the upstream.
    Forward(ForwardError),
}

/// The reconnection time of a refusal that is sent as a short event stream.
#[derive(Clone, Copy, Debug)]
pub struct SoftRetry {
    /// The earliest time, unless the refusal asks for a later one.
    pub min: Duration,
    /// The jitter on top, as a fraction of that time: uniform in `0.0..1.0`.
    pub jitter: f64,
}

/// Most bytes of an upstream's answer in an event.
const ANSWER_EXCERPT_BYTES: usize = 64 * 1024;

/// `Retry-After` of a temporary refusal when nothing better is known.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(2);

impl Rejection {
    /// Refuses a malformed request with this text, a sentence for the client.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Malformed(detail.into())
    }

    /// Returns the status code.
    pub fn status(&self) -> StatusCode {
        self.problem().status
    }

    /// Returns the reason: the metric's label, from a closed set.
    pub fn reason(&self) -> &'static str {
        self.problem().reason
    }

    /// Returns the response. With `soft_retry`, a temporary refusal is a short event stream instead: a browser's
    /// `EventSource` does not reconnect after any status but 200 (HTML standard, "fail the connection").
    pub fn response(&self, soft_retry: Option<SoftRetry>) -> Response<Bytes> {
        let ProblemDetails { status, reason, detail } = self.problem();
        if let Some(retry) = soft_retry.filter(|_| self.is_temporary()) {
            return self.soft_response(retry);
        }
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
            "reason": reason,
        });
        let mut response = Response::new(Bytes::from(problem.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(wait) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Self::Method { allow } = self {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }

    /// Returns the `rillgate.error` event for a client whose head has already been sent. `id` is the id that it sent: an
    /// event that has none would make an `EventSource` forget it.
    pub fn error_event(&self, id: Option<EventId>) -> Frame {
        let ProblemDetails { status, reason, .. } = self.problem();
        let data =
            self.answer_data().unwrap_or_else(|| format!(r#"{{"status":{},"reason":"{reason}"}}"#, status.as_u16()));
        Frame::from(&Event { kind: "rillgate.error".to_owned(), data, id })
    }

    /// Returns the upstream's answer as data of an event, if that is what was not the stream.
    fn answer_data(&self) -> Option<String> {
        let Self::Upstream(error) = self else { return None };
        let OpenError::Answered(SourceAnswer { status, content_type, content, .. }) = &**error else { return None };
        let body = content.as_ref()?.excerpt(ANSWER_EXCERPT_BYTES);
        let body = String::from_utf8_lossy(&body);
        Some(serde_json::json!({ "status": status, "content_type": content_type, "body": body }).to_string())
    }

    /// The table of all refusals.
    fn problem(&self) -> ProblemDetails {
        use StatusCode as Status;
        match self {
            Self::Malformed(detail) => row(Status::BAD_REQUEST, "malformed", detail.clone()),
            Self::Path(fault) => row(Status::BAD_REQUEST, "path", format!("Invalid path: {fault}.")),
            Self::Capture(fault @ CaptureFault::Character(..)) => {
                row(Status::BAD_REQUEST, "path", format!("Invalid path: {fault}."))
            }
            Self::Capture(fault @ CaptureFault::Length(_)) => {
                row(Status::URI_TOO_LONG, "uri_too_long", format!("Invalid path: {fault}."))
            }
            Self::Denied(denied) => rows::denied(*denied),
            Self::NoRoute => row(Status::NOT_FOUND, "no_route", "There is no stream at this path."),
            Self::Method { allow } => {
                row(Status::METHOD_NOT_ALLOWED, "method", format!("Method not supported; use one of: {allow}."))
            }
            Self::NotAcceptable => row(
                Status::NOT_ACCEPTABLE,
                "not_acceptable",
                "The response is text/event-stream, which the Accept header excludes.",
            ),
            Self::PathTooLong { max } => {
                row(Status::URI_TOO_LONG, "uri_too_long", format!("The path is longer than {}.", size(*max)))
            }
            Self::UriTooLong { max } => {
                let detail =
                    format!("Path and query are longer than {} together (8 KiB and limits.token_bytes).", size(*max));
                row(Status::URI_TOO_LONG, "uri_too_long", detail)
            }
            Self::TooManyHeaders { max } => {
                let detail = format!("The request has more than {max} header fields (limits.headers).");
                row(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers", detail)
            }
            Self::SharedTooLong { max } => {
                let detail = format!(
                    "The parameters and header fields that select the stream are longer than {} together (limits.header_bytes).",
                    size(*max)
                );
                row(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers", detail)
            }
            Self::TooManyConnections => {
                row(Status::TOO_MANY_REQUESTS, "connections_per_ip", "Too many connections from this address.")
            }
            Self::SubscribersFull => row(Status::SERVICE_UNAVAILABLE, "subscribers", "The gateway is full."),
            Self::SubjectFull => row(
                Status::TOO_MANY_REQUESTS,
                "subscriptions_per_subject",
                "Too many open subscriptions for this token's subject.",
            ),
            Self::Ticket(TicketError::SubjectFull) => row(
                Status::TOO_MANY_REQUESTS,
                "tickets_per_subject",
                "Too many unused tickets for this token's subject.",
            ),
            Self::Ticket(TicketError::Full | TicketError::Random) => {
                row(Status::SERVICE_UNAVAILABLE, "tickets", "No ticket can be issued now.")
            }
            Self::Ticket(TicketError::Unavailable(_)) => row(
                Status::SERVICE_UNAVAILABLE,
                "cluster",
                "No ticket can be issued now: the cluster's engine does not answer.",
            ),
            Self::AddressFull => {
                row(Status::TOO_MANY_REQUESTS, "subscriptions_per_ip", "Too many open subscriptions of this address.")
            }
            Self::AddressStreamsFull => {
                row(Status::TOO_MANY_REQUESTS, "streams_per_ip", "Too many open streams that only this address reads.")
            }
            Self::StreamOpens(StreamOpenRefusal::Address(_)) => {
                row(Status::TOO_MANY_REQUESTS, "stream_opens", "This address opens new streams too fast.")
            }
            Self::StreamOpens(StreamOpenRefusal::Route(_)) => {
                row(Status::SERVICE_UNAVAILABLE, "stream_opens", "Too many new streams are being opened.")
            }
            Self::StreamsFull => row(Status::SERVICE_UNAVAILABLE, "streams", "The gateway is full."),
            Self::Memory => row(Status::SERVICE_UNAVAILABLE, "memory", "The gateway is full."),
            Self::Draining => row(Status::SERVICE_UNAVAILABLE, "draining", "The gateway is shutting down."),
            Self::Upstream(error) => rows::upstream(error),
            Self::UpstreamBroken => rows::upstream_broken(),
            Self::UpstreamSilent => rows::upstream_silent(),
            Self::BodyTooLarge { max, key } => rows::body_too_large(*max, key),
            Self::Post(refusal) => refusal.problem(),
            Self::Expectation => {
                row(Status::EXPECTATION_FAILED, "malformed", "The only expectation that is met is 100-continue.")
            }
            Self::Exchanges(ExchangeLimit::Memory) => {
                row(Status::SERVICE_UNAVAILABLE, "memory", "The gateway is full.")
            }
            Self::Exchanges(ExchangeLimit::All) => {
                row(Status::SERVICE_UNAVAILABLE, "forwarded_requests", "The gateway is full.")
            }
            Self::Exchanges(ExchangeLimit::Address) => row(
                Status::TOO_MANY_REQUESTS,
                "forwarded_requests_per_ip",
                "Too many requests of this address are in progress.",
            ),
            Self::Forward(error) => rows::forward(error),
        }
    }

    /// Returns the time to wait before the next attempt, for temporary refusals.
    fn retry_after(&self) -> Option<Duration> {
        let requested = if let Self::Upstream(error) = self {
            error.retry_after()
        } else if let Self::StreamOpens(StreamOpenRefusal::Address(wait) | StreamOpenRefusal::Route(wait))
        | Self::Denied(Denied::FetchRefused(wait)) = self
        {
            Some(*wait)
        } else {
            None
        };
        self.is_temporary().then(|| requested.unwrap_or(RETRY_AFTER_DEFAULT))
    }

    fn is_temporary(&self) -> bool {
        matches!(self.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Returns the challenge (RFC 6750, 3), with an error code only if the request had a token.
    fn challenge(&self) -> Option<&'static str> {
        let Self::Denied(denied) = self else { return None };
        match denied {
            Denied::Missing => Some(r#"Bearer realm="rillgate""#),
            Denied::Ambiguous => Some(r#"Bearer realm="rillgate", error="invalid_request""#),
            Denied::Invalid(_) => Some(r#"Bearer realm="rillgate", error="invalid_token""#),
            Denied::Forbidden(_) => Some(r#"Bearer realm="rillgate", error="insufficient_scope""#),
            Denied::Origin | Denied::Unavailable | Denied::FetchRefused(_) | Denied::TicketsUnavailable => None,
        }
    }

    fn soft_response(&self, retry: SoftRetry) -> Response<Bytes> {
        let mut encoder = Encoder::new();
        encoder.comment(&format!("rillgate-refused: {};status={}", self.reason(), self.status().as_u16()));
        // Jitter comes on top of the wait: clients that were refused together must not come back together.
        let min = retry.min.max(self.retry_after().unwrap_or_default());
        encoder.retry(arithmetic::scale(min, 1.0 + retry.jitter));
        let mut response = Response::new(encoder.finish().body());
        stream_headers(response.headers_mut());
        response
    }
}

/// Returns the seconds of a `Retry-After`, rounded up, because a client that is back earlier is refused again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl From<Mismatch> for Rejection {
    fn from(mismatch: Mismatch) -> Self {
        match mismatch {
            Mismatch::Other => Self::NoRoute,
            Mismatch::Capture(fault) => Self::Capture(fault),
        }
    }
}

impl From<LimitExceeded> for Rejection {
    fn from(limit: LimitExceeded) -> Self {
        match limit {
            LimitExceeded::Memory => Self::Memory,
            LimitExceeded::All => Self::SubscribersFull,
            LimitExceeded::Subject => Self::SubjectFull,
            LimitExceeded::Address => Self::AddressFull,
        }
    }
}

impl From<ExchangeLimit> for Rejection {
    fn from(limit: ExchangeLimit) -> Self {
        Self::Exchanges(limit)
    }
}

impl From<StreamLimit> for Rejection {
    fn from(limit: StreamLimit) -> Self {
        match limit {
            StreamLimit::All => Self::StreamsFull,
            StreamLimit::Address => Self::AddressStreamsFull,
            StreamLimit::Memory => Self::Memory,
        }
    }
}

impl From<StreamOpenRefusal> for Rejection {
    fn from(refusal: StreamOpenRefusal) -> Self {
        Self::StreamOpens(refusal)
    }
}

impl From<TicketError> for Rejection {
    fn from(error: TicketError) -> Self {
        Self::Ticket(error)
    }
}

impl From<Denied> for Rejection {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}
