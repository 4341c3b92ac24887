//! Every way to say no: status, reason, headers, text. The only place where an error becomes a status code.
//!
//! Refusals are problem details (RFC 9457) of the type `about:blank` with a member `reason`, which is the metric's label.
//! The texts are for the client and say nothing that only the operator should know.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};

use super::headers::stream_headers;
use crate::auth::{Denied, TicketError, TokenFault};
use crate::http::subscription_limits::LimitExceeded;
use crate::route::path::PathFault;
use crate::route::pattern::{CaptureFault, Mismatch};
use crate::runtime::arithmetic;
use crate::sse::{Encoder, Event, EventId, Frame};
use crate::stream::OpenError;

/// A refusal that we chose.
#[derive(Clone, Debug)]
pub enum Rejection {
    /// The request does not make sense; the words say why.
    Malformed(&'static str),
    /// The path has more than one reading, or none.
    Path(PathFault),
    /// A segment of the path is not what the route captures.
    Capture(CaptureFault),
    /// The token is missing, not good, or does not cover the stream.
    Denied(Denied),
    /// No route answers this path.
    NoRoute,
    /// The route does not answer this method.
    Method {
        /// What it answers.
        allow: &'static str,
    },
    /// The client does not take event streams.
    NotAcceptable,
    /// The path is too long.
    PathTooLong {
        /// Its most bytes.
        most: usize,
    },
    /// Path and query are too long together.
    UriTooLong {
        /// Their most bytes.
        most: usize,
    },
    /// Too many header fields.
    TooManyHeaders {
        /// How many there may be.
        most: usize,
    },
    /// The values that the route shares are too long.
    SharedTooLong {
        /// The most bytes of all of them together.
        most: usize,
    },
    /// The client's address has too many connections, or behind a proxy subscriptions.
    TooManyConnections,
    /// As many clients are connected as may be.
    SubscribersFull,
    /// As many clients with this token's subject are connected as may be.
    SubjectFull,
    /// No ticket is made for this token now.
    Ticket(TicketError),
    /// As many streams are open as may be.
    StreamsFull,
    /// Memory is short.
    Memory,
    /// The gateway is leaving.
    Draining,
    /// The upstream refused, or is down and the route does not hold its clients.
    Upstream(Arc<OpenError>),
    /// The upstream did not answer in time and the route does not hold its clients.
    UpstreamSilent,
}

/// When an event source that gets a short stream instead of a refusal is to come back.
#[derive(Clone, Copy, Debug)]
pub struct SoftRetry {
    /// At the earliest, unless the refusal asks for more.
    pub least: Duration,
    /// How much later, as a share of that: uniform in `0.0..1.0`.
    pub share: f64,
}

/// What clients are asked to wait when nothing better is known.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(2);

impl Rejection {
    /// The status code.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_)
            | Self::Path(_)
            | Self::Capture(CaptureFault::Character(..))
            | Self::Denied(Denied::Ambiguous) => StatusCode::BAD_REQUEST,
            Self::Denied(Denied::Missing | Denied::Invalid(_)) => StatusCode::UNAUTHORIZED,
            Self::Denied(Denied::Forbidden(_) | Denied::Origin) => StatusCode::FORBIDDEN,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::PathTooLong { .. } | Self::UriTooLong { .. } | Self::Capture(CaptureFault::Length(_)) => {
                StatusCode::URI_TOO_LONG
            }
            Self::TooManyHeaders { .. } | Self::SharedTooLong { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TooManyConnections | Self::SubjectFull | Self::Ticket(TicketError::SubjectFull) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::SubscribersFull
            | Self::StreamsFull
            | Self::Memory
            | Self::Draining
            | Self::Denied(Denied::Unavailable)
            | Self::Ticket(TicketError::Full | TicketError::Random) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream(error) => match **error {
                OpenError::NotFound { .. } => StatusCode::NOT_FOUND,
                OpenError::Busy { .. } | OpenError::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
                OpenError::Silent(_) => StatusCode::GATEWAY_TIMEOUT,
                OpenError::Wrong(_) | OpenError::Dropped(_) | OpenError::Failing { .. } | OpenError::Complete => {
                    StatusCode::BAD_GATEWAY
                }
            },
            Self::UpstreamSilent => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The metric's label: from a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Path(_) | Self::Capture(CaptureFault::Character(..)) => "path",
            Self::Denied(denied) => match denied {
                Denied::Missing => "no_token",
                Denied::Ambiguous => "two_tokens",
                Denied::Invalid(TokenFault::TooLarge) => "too_large",
                Denied::Invalid(_) => "invalid_token",
                Denied::Forbidden(_) => "insufficient_scope",
                Denied::Origin => "origin",
                Denied::Unavailable => "keys_unavailable",
            },
            Self::NoRoute => "no_route",
            Self::Method { .. } => "method",
            Self::NotAcceptable => "not_acceptable",
            Self::PathTooLong { .. } | Self::UriTooLong { .. } | Self::Capture(CaptureFault::Length(_)) => {
                "uri_too_long"
            }
            Self::TooManyHeaders { .. } | Self::SharedTooLong { .. } => "headers",
            Self::TooManyConnections => "connections_per_ip",
            Self::SubscribersFull => "subscribers",
            Self::SubjectFull => "subscriptions_per_subject",
            Self::Ticket(TicketError::SubjectFull) => "tickets_per_subject",
            Self::Ticket(TicketError::Full | TicketError::Random) => "tickets",
            Self::StreamsFull => "streams",
            Self::Memory => "memory",
            Self::Draining => "draining",
            Self::Upstream(error) => match **error {
                OpenError::NotFound { .. } => "upstream_not_found",
                OpenError::Busy { .. } => "upstream_busy",
                OpenError::Unreachable(_) => "upstream_unreachable",
                OpenError::Silent(_) => "upstream_silent",
                OpenError::Wrong(_) | OpenError::Complete => "upstream_wrong",
                OpenError::Dropped(_) => "upstream_dropped",
                OpenError::Failing { .. } => "upstream_failing",
            },
            Self::UpstreamSilent => "upstream_silent",
        }
    }

    /// What the client is told in words.
    fn detail(&self) -> String {
        match self {
            Self::Malformed(why) => (*why).to_owned(),
            Self::Path(fault) => format!("The path is refused: {fault}."),
            Self::Capture(fault) => format!("The path is refused: {fault}."),
            Self::Denied(Denied::Missing) => "A token is needed.".to_owned(),
            Self::Denied(Denied::Ambiguous) => "There is more than one token in the request.".to_owned(),
            Self::Denied(Denied::Invalid(TokenFault::Ticket)) => {
                "The ticket has been used, has expired, or is for another stream.".to_owned()
            }
            Self::Denied(Denied::Invalid(TokenFault::TooLarge)) => {
                "Invalid token: too large (limits.token_bytes).".to_owned()
            }
            Self::Denied(Denied::Invalid(fault)) => format!("Invalid token: {fault}."),
            Self::Denied(Denied::Forbidden(_)) => "The token does not cover this stream.".to_owned(),
            Self::Denied(Denied::Origin) => {
                "A cookie, or a token that a proxy adds, is not accepted from a page of this origin.".to_owned()
            }
            Self::Denied(Denied::Unavailable) => "The token cannot be checked yet.".to_owned(),
            Self::NoRoute => "There is no stream here.".to_owned(),
            Self::Method { allow } => format!("Only {allow} can be used here."),
            Self::NotAcceptable => "This is an event stream, which the request does not accept.".to_owned(),
            Self::PathTooLong { most } => format!("The path has more than {}.", size(*most)),
            Self::UriTooLong { most } => {
                format!("Path and query have more than {} together (limits.token_bytes is part of it).", size(*most))
            }
            Self::TooManyHeaders { most } => format!("The request head has more than {most} fields (limits.headers)."),
            Self::SharedTooLong { most } => format!(
                "The parameters and fields that this stream shares have more than {} together (limits.header_bytes).",
                size(*most)
            ),
            Self::TooManyConnections => "There are too many connections from this address.".to_owned(),
            Self::SubscribersFull | Self::StreamsFull | Self::Memory => "The gateway is full.".to_owned(),
            Self::SubjectFull => "There are too many subscriptions with this subject.".to_owned(),
            Self::Ticket(TicketError::SubjectFull) => "Too many tickets of this subject are waiting.".to_owned(),
            Self::Ticket(TicketError::Full | TicketError::Random) => "No ticket can be made now.".to_owned(),
            Self::Draining => "The gateway is about to stop.".to_owned(),
            Self::Upstream(error) => match **error {
                OpenError::NotFound { .. } => "There is no such stream.".to_owned(),
                OpenError::Busy { .. } => "The upstream is busy.".to_owned(),
                OpenError::Unreachable(_) => "The upstream cannot be reached.".to_owned(),
                OpenError::Silent(_) => "The upstream did not answer in time.".to_owned(),
                OpenError::Wrong(_) | OpenError::Dropped(_) | OpenError::Failing { .. } | OpenError::Complete => {
                    "The upstream did not answer with an event stream.".to_owned()
                }
            },
            Self::UpstreamSilent => "The upstream did not answer in time.".to_owned(),
        }
    }

    /// When to come back, for refusals that pass.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Upstream(error) => match **error {
                OpenError::Busy { retry_after } => Some(retry_after.unwrap_or(RETRY_AFTER_DEFAULT)),
                _ if self.is_temporary() => Some(RETRY_AFTER_DEFAULT),
                _ => None,
            },
            _ => self.is_temporary().then_some(RETRY_AFTER_DEFAULT),
        }
    }

    fn is_temporary(&self) -> bool {
        matches!(self.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }

    /// RFC 6750, 3: the challenge, with an error code only where a token was sent.
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Denied(Denied::Missing) => Some(r#"Bearer realm="rillgate""#),
            Self::Denied(Denied::Ambiguous) => Some(r#"Bearer realm="rillgate", error="invalid_request""#),
            Self::Denied(Denied::Invalid(_)) => Some(r#"Bearer realm="rillgate", error="invalid_token""#),
            Self::Denied(Denied::Forbidden(_)) => Some(r#"Bearer realm="rillgate", error="insufficient_scope""#),
            _ => None,
        }
    }

    /// The response. With `soft_retry`, a refusal that passes is a short event stream instead: a browser's event source
    /// never comes back after any other status (HTML standard, "fail the connection").
    pub fn response(&self, soft_retry: Option<SoftRetry>) -> Response<Bytes> {
        if let Some(retry) = soft_retry.filter(|_| self.is_temporary()) {
            return self.soft_response(retry);
        }
        let status = self.status();
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.detail(),
            "reason": self.reason(),
        });
        let mut response = Response::new(Bytes::from(problem.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(wait) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Self::Method { allow } = self {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }

    /// What a client is told that has its head already. `id` is the one that it named: a blank line without one would have
    /// an event source forget it.
    pub fn late(&self, id: Option<EventId>) -> Frame {
        let data = format!(r#"{{"status":{},"reason":"{}"}}"#, self.status().as_u16(), self.reason());
        Frame::from(&Event { kind: "rillgate.error".to_owned(), data, id })
    }

    fn soft_response(&self, retry: SoftRetry) -> Response<Bytes> {
        let mut encoder = Encoder::new();
        encoder.comment(&format!("rillgate-refused: {};status={}", self.reason(), self.status().as_u16()));
        // Spread above what is asked for, or those who were refused together would come back together.
        let least = retry.least.max(self.retry_after().unwrap_or_default());
        encoder.retry(arithmetic::scale(least, 1.0 + retry.share));
        let mut response = Response::new(encoder.finish().body());
        stream_headers(response.headers_mut());
        response
    }
}

/// Bytes as people say them.
fn size(bytes: usize) -> String {
    if bytes.is_multiple_of(1024) { format!("{} KiB", bytes / 1024) } else { format!("{bytes} bytes") }
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
    fn from(full: LimitExceeded) -> Self {
        match full {
            LimitExceeded::All => Self::SubscribersFull,
            LimitExceeded::Subject => Self::SubjectFull,
            LimitExceeded::Address => Self::TooManyConnections,
        }
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
