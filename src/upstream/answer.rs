//! What the head of an upstream's response says: an event stream, a way to one, or neither.
//!
//! Sees heads alone: follows nothing and reads no body.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use url::{Position, Url};

use super::excerpt::{quoted, shortened};
use super::target::Origin;
use super::{coding, content_type};
use crate::sse::EventId;
use crate::stream::{MAX_RETRY_AFTER, OpenError};

/// A response that leads on.
pub(super) enum Answer {
    /// It is the event stream.
    Stream,
    /// The event stream is at this path and query of the same origin.
    Redirect(String),
}

/// Judges a response by its head; `host` is the `Host` that was asked for, where it is not the origin's own.
///
/// # Errors
/// Why it is no event stream.
pub(super) fn judge<B>(
    origin: &Origin,
    host: Option<&str>,
    path: &str,
    response: &Response<B>,
) -> Result<Answer, OpenError> {
    let status = response.status();
    let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    match status {
        StatusCode::OK => {}
        StatusCode::NO_CONTENT => return Err(OpenError::Complete),
        StatusCode::NOT_FOUND | StatusCode::GONE => return Err(OpenError::NotFound { status: status.as_u16() }),
        StatusCode::TOO_MANY_REQUESTS => {
            return Err(OpenError::RateLimited { retry_after: header(RETRY_AFTER).and_then(retry_after) });
        }
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => return redirect(origin, host, path, response.headers().get(LOCATION)),
        _ if status.is_server_error() => {
            // RFC 9110, 15.6.4: of these, 503 is the one that says for how long.
            let wanted = header(RETRY_AFTER).filter(|_| status == StatusCode::SERVICE_UNAVAILABLE);
            return Err(OpenError::Unavailable { status: status.as_u16(), retry_after: wanted.and_then(retry_after) });
        }
        _ => return Err(OpenError::InvalidResponse(format!("the upstream answered {}", status.as_u16()))),
    }
    match content_type::essence(response.headers()) {
        Some(essence) if essence == "text/event-stream" => {}
        found => return Err(OpenError::InvalidResponse(wrong_type(response.headers(), found))),
    }
    match coding::unreadable(response.headers()) {
        Some((field, coding)) => {
            Err(OpenError::InvalidResponse(format!("the upstream compressed its response ({field}: {coding})")))
        }
        None => Ok(Answer::Stream),
    }
}

fn wrong_type(headers: &HeaderMap, essence: Option<String>) -> String {
    let given = essence.as_deref().map(str::as_bytes).or_else(|| headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes));
    match given {
        Some(given) => format!("the upstream's content type is {}, not text/event-stream", quoted(given)),
        None => "the upstream's response has no content type".to_owned(),
    }
}

/// Followed only within the origin: the answer of another one would be another one's word for this stream.
fn redirect(
    origin: &Origin,
    host: Option<&str>,
    path: &str,
    location: Option<&HeaderValue>,
) -> Result<Answer, OpenError> {
    let Some(location) = location else {
        return Err(OpenError::InvalidResponse("the upstream redirects without saying where".to_owned()));
    };
    // A virtual host speaks of itself by its name; the origin's own name is the same server.
    let names = host.into_iter().chain([origin.authority.as_str()]);
    let here: Vec<_> = names.filter_map(|name| Url::parse(&format!("{}://{name}{path}", origin.scheme)).ok()).collect();
    let location = std::str::from_utf8(location.as_bytes()).ok();
    let Some(next) = location.and_then(|location| here.first()?.join(location).ok()) else {
        return Err(OpenError::InvalidResponse("the upstream redirects to what is not a URL".to_owned()));
    };
    if here.iter().any(|here| here.origin() == next.origin()) {
        let query = next.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Ok(Answer::Redirect(format!("{}{query}", next.path())));
    }
    Err(OpenError::InvalidResponse(format!("the upstream redirects elsewhere, to {}", shown(&next))))
}

/// Without user, password, query and fragment, where credentials may stand.
fn shown(url: &Url) -> String {
    shortened(&format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPath]))
}

/// Whether the head of the answer says that the upstream goes on after the id that it was asked for, and whether it says
/// that it does not: as another rillgate does, or as hubs of the Mercure protocol do, which name the id after which they
/// begin (draft-dunglas-mercure, "Reconciliation").
pub(super) fn continuity(answer: &HeaderMap, asked: Option<&EventId>) -> (bool, bool) {
    // HTTP has trimmed the id, there and here.
    let begins_after =
        || Some(answer.get("last-event-id")?.as_bytes() == asked?.as_str().trim_matches([' ', '\t']).as_bytes());
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
    Some(wanted.min(MAX_RETRY_AFTER))
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
            assert_eq!(retry_after(far_off), Some(MAX_RETRY_AFTER), "{far_off}");
        }
    }

    #[test]
    fn a_redirect_is_followed_within_the_origin_and_shown_without_credentials() {
        let origin = Origin {
            scheme: http::uri::Scheme::HTTP,
            authority: http::uri::Authority::from_static("10.0.0.5:9000"),
            base: String::new(),
            query: String::new(),
        };
        let to = |host: Option<&str>, location: &'static str| match redirect(
            &origin,
            host,
            "/feed/a?x=1",
            Some(&HeaderValue::from_static(location)),
        ) {
            Ok(Answer::Redirect(path)) => path,
            Ok(Answer::Stream) => "a stream".to_owned(),
            Err(error) => error.to_string(),
        };

        assert_eq!(to(None, "b"), "/feed/b");
        assert_eq!(to(None, "http://10.0.0.5:9000/c?y=2"), "/c?y=2");
        assert_eq!(to(Some("api.internal"), "http://api.internal/c"), "/c");
        assert_eq!(to(Some("api.internal"), "http://10.0.0.5:9000/c"), "/c");
        assert_eq!(
            to(None, "https://user:secret@login.example.com/realm?token=secret#secret"),
            "the upstream redirects elsewhere, to https://login.example.com/realm"
        );
        assert_eq!(to(None, "http://["), "the upstream redirects to what is not a URL");
        assert!(to(None, "//elsewhere").ends_with("to http://elsewhere/"));
        let long: &'static str = format!("//elsewhere/{}", "x".repeat(5000)).leak();
        assert!(to(None, long).len() < 300);
        assert!(
            redirect(&origin, None, "/", None).is_err_and(|error| error.to_string().ends_with("without saying where"))
        );
    }
}
