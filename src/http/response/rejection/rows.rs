//! Rows of the table of refusals: those of tokens, of upstreams and of forwarding.

use std::borrow::Cow;

use http::StatusCode;

use crate::auth::{Denied, TokenFault};
use crate::forward::ForwardError;
use crate::stream::OpenError;

/// The members of a problem document that differ between refusals (RFC 9457, 3.1).
pub(super) struct ProblemDetails {
    pub(super) status: StatusCode,
    pub(super) reason: &'static str,
    pub(super) detail: Cow<'static, str>,
}

/// Returns a row of the table of refusals.
pub(super) fn row(status: StatusCode, reason: &'static str, detail: impl Into<Cow<'static, str>>) -> ProblemDetails {
    ProblemDetails { status, reason, detail: detail.into() }
}

/// Returns the row of a refused token.
pub(super) fn denied(denied: Denied) -> ProblemDetails {
    use StatusCode as Status;
    match denied {
        Denied::Missing => row(Status::UNAUTHORIZED, "no_token", "A token is needed."),
        Denied::Ambiguous => row(Status::BAD_REQUEST, "two_tokens", "The request has more than one token."),
        Denied::Invalid(TokenFault::Ticket) => row(
            Status::UNAUTHORIZED,
            "invalid_token",
            "Invalid ticket: it has been used, has expired, or is for another stream.",
        ),
        Denied::Invalid(TokenFault::TooLarge) => {
            row(Status::UNAUTHORIZED, "too_large", "Invalid token: too large (limits.token_bytes).")
        }
        Denied::Invalid(fault) => row(Status::UNAUTHORIZED, "invalid_token", format!("Invalid token: {fault}.")),
        Denied::Forbidden(_) => {
            row(Status::FORBIDDEN, "insufficient_scope", "The token does not grant access to this stream.")
        }
        Denied::Origin => row(
            Status::FORBIDDEN,
            "origin",
            "A cookie, or a token that a proxy adds, is not accepted from a page of this origin.",
        ),
        Denied::Unavailable | Denied::FetchRefused(_) => row(
            Status::SERVICE_UNAVAILABLE,
            "keys_unavailable",
            "The token cannot be verified yet: the issuer's keys have not been fetched.",
        ),
        Denied::TicketsUnavailable => row(
            Status::SERVICE_UNAVAILABLE,
            "cluster",
            "The ticket cannot be redeemed now: the cluster's engine does not answer.",
        ),
    }
}

/// Returns the row of a stream that its upstream does not open.
pub(super) fn upstream(error: &OpenError) -> ProblemDetails {
    use StatusCode as Status;
    let invalid = "The upstream did not answer with an event stream.";
    match error {
        OpenError::NotFound(_) => row(Status::NOT_FOUND, "upstream_not_found", "The upstream has no such stream."),
        OpenError::RateLimited { .. } => {
            row(Status::SERVICE_UNAVAILABLE, "upstream_busy", "The upstream has received too many requests.")
        }
        OpenError::Unreachable(_) => {
            row(Status::SERVICE_UNAVAILABLE, "upstream_unreachable", "Cannot connect to the upstream.")
        }
        OpenError::TimedOut(_) => upstream_silent(),
        OpenError::Answered(answer) => {
            let status = Status::from_u16(answer.status).unwrap_or(Status::BAD_GATEWAY);
            row(status, "upstream_answer", invalid)
        }
        OpenError::Invalid(_) | OpenError::Complete => row(Status::BAD_GATEWAY, "upstream_wrong", invalid),
        OpenError::ClosedEarly(_) => row(Status::BAD_GATEWAY, "upstream_dropped", invalid),
        OpenError::Unavailable { .. } => row(Status::BAD_GATEWAY, "upstream_failing", invalid),
        OpenError::Cluster(_) => row(Status::SERVICE_UNAVAILABLE, "cluster", "The gateways cannot agree now."),
    }
}

/// Returns the row of an upstream that broke off in the middle.
pub(super) fn upstream_broken() -> ProblemDetails {
    row(StatusCode::BAD_GATEWAY, "upstream_broken", "The upstream broke off in the middle of the stream.")
}

/// Returns the row of an upstream that does not answer in time.
pub(super) fn upstream_silent() -> ProblemDetails {
    row(StatusCode::GATEWAY_TIMEOUT, "upstream_silent", "The upstream did not answer in time.")
}

/// Returns the row of a request body that is too large.
pub(super) fn body_too_large(max: u64, key: &str) -> ProblemDetails {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let detail = format!("The body is larger than {} ({key}).", size(max));
    row(StatusCode::PAYLOAD_TOO_LARGE, "body_bytes", detail)
}

/// Returns the row of a forwarded request without a response.
pub(super) fn forward(error: &ForwardError) -> ProblemDetails {
    use StatusCode as Status;
    match error {
        ForwardError::Unreachable(_) => {
            row(Status::BAD_GATEWAY, "upstream_unreachable", "Cannot connect to the upstream.")
        }
        ForwardError::TimedOut => upstream_silent(),
        ForwardError::Closed(_) => {
            row(Status::BAD_GATEWAY, "upstream_dropped", "The upstream closed the connection without an answer.")
        }
        ForwardError::InvalidResponse(_) => {
            row(Status::BAD_GATEWAY, "upstream_wrong", "The upstream's answer is not valid.")
        }
        ForwardError::BodyTooLarge { max } => body_too_large(*max, "forward.body_bytes"),
        ForwardError::BodyStalled => {
            row(Status::REQUEST_TIMEOUT, "body_timeout", "The body did not arrive in time (forward.idle_timeout).")
        }
        ForwardError::BodyBroken => row(Status::BAD_REQUEST, "malformed", "The body is incomplete or malformed."),
    }
}

/// Formats a number of bytes in KiB if it is a multiple of 1024.
pub(super) fn size(bytes: usize) -> String {
    if bytes.is_multiple_of(1024) { format!("{} KiB", bytes / 1024) } else { format!("{bytes} bytes") }
}
