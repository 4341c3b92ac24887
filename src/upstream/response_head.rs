//! Classifies the head of an upstream's response: an event stream, a redirect, another answer, or an error.
//!
//! Looks at heads only. It follows no redirect and reads no body.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use url::{Position, Url};

use super::settings::Origin;
use super::{content_coding, content_type};
use crate::runtime::excerpt::truncate;
use crate::sse::EventId;
use crate::stream::{Continuity, MAX_RETRY_AFTER, OpenError, SourceAnswer};

/// A response that is not an error.
pub(super) enum ResponseKind {
    /// The response is the event stream.
    EventStream,
    /// The event stream is at this path and query of the same origin.
    Redirect(String),
    /// The response is something else.
    Answer(SourceAnswer),
}

/// Classifies a response by its head. `host` is the configured `Host` header, if there is one.
///
/// # Errors
/// The stream is complete, or the response is an event stream or a redirect that cannot be read or followed.
pub(super) fn classify<B>(
    origin: &Origin,
    host: Option<&str>,
    path: &str,
    response: &Response<B>,
) -> Result<ResponseKind, OpenError> {
    let status = response.status();
    match status {
        StatusCode::OK => {}
        StatusCode::NO_CONTENT => return Err(OpenError::Complete),
        // No client asked for it, and its connection must not change protocols for it.
        StatusCode::SWITCHING_PROTOCOLS => {
            return Err(OpenError::Invalid("the upstream switches protocols without having been asked to".to_owned()));
        }
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => return redirect(origin, host, path, response.headers().get(LOCATION)),
        _ => return Ok(ResponseKind::Answer(answer(status, response.headers()))),
    }
    if content_type::essence(response.headers()).as_deref() != Some("text/event-stream") {
        return Ok(ResponseKind::Answer(answer(status, response.headers())));
    }
    match content_coding::find_coding(response.headers()) {
        Some((field, coding)) => {
            Err(OpenError::Invalid(format!("the upstream compressed its response ({field}: {coding})")))
        }
        None => Ok(ResponseKind::EventStream),
    }
}

fn answer(status: StatusCode, headers: &HeaderMap) -> SourceAnswer {
    let given = || headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    SourceAnswer {
        status: status.as_u16(),
        content_type: content_type::essence(headers).or_else(given),
        retry_after: headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?)),
        content: None,
    }
}

/// Follows redirects within the origin only. Another origin must not decide the content of this stream.
fn redirect(
    origin: &Origin,
    host: Option<&str>,
    path: &str,
    location: Option<&HeaderValue>,
) -> Result<ResponseKind, OpenError> {
    let Some(location) = location else {
        return Err(OpenError::Invalid("the upstream redirects without a Location header".to_owned()));
    };
    // A virtual host redirects to itself by its own name, which is the same server as the origin's address.
    let names = host.into_iter().chain([origin.authority.as_str()]);
    let bases: Vec<_> =
        names.filter_map(|name| Url::parse(&format!("{}://{name}{path}", origin.scheme)).ok()).collect();
    let location = std::str::from_utf8(location.as_bytes()).ok();
    let Some(next) = location.and_then(|location| bases.first()?.join(location).ok()) else {
        return Err(OpenError::Invalid("the upstream redirects to an invalid URL".to_owned()));
    };
    if bases.iter().any(|bases| bases.origin() == next.origin()) {
        let query = next.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Ok(ResponseKind::Redirect(format!("{}{query}", next.path())));
    }
    Err(OpenError::Invalid(format!("the upstream redirects elsewhere, to {}", without_credentials(&next))))
}

/// Formats a URL without user, password, query and fragment, where credentials may occur.
fn without_credentials(url: &Url) -> String {
    truncate(&format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPath]))
}

/// Returns the upstream's statement about the requested id.
///
/// Another rillgate says so in `rillgate-resume`. A hub of the Mercure protocol names the id after which it begins
/// (draft-dunglas-mercure, "Reconciliation"). Without either it is unknown.
pub(super) fn continuity(headers: &HeaderMap, requested: Option<&EventId>) -> Continuity {
    // HTTP strips the white space around a value, in both directions.
    let begins_after =
        || Some(headers.get("last-event-id")?.as_bytes() == requested?.as_str().trim_matches([' ', '\t']).as_bytes());
    match headers.get("rillgate-resume") {
        Some(verdict) if verdict.as_bytes().starts_with(b"resumed") => Continuity::Continued,
        Some(verdict) if verdict.as_bytes().starts_with(b"gap") => Continuity::Gap,
        Some(_) => Continuity::Unknown,
        None => match begins_after() {
            Some(true) => Continuity::Continued,
            Some(false) => Continuity::Gap,
            None => Continuity::Unknown,
        },
    }
}

/// Parses `Retry-After`: seconds or a date (RFC 9110, 10.2.3). A date in the past is no wait. The result is at most
/// [`MAX_RETRY_AFTER`].
fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    let value = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows still asks for a long wait.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).unwrap_or_default()
    };
    Some(value.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_retry_after_of_any_text_is_bounded(
            value in prop_oneof!["[0-9]{1,60}", "[ -~]{0,60}", "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT"],
        ) {
            let wait = retry_after(&value);

            prop_assert!(wait.is_none_or(|wait| wait <= MAX_RETRY_AFTER), "{:?}", wait);
        }

        #[test]
        fn a_retry_after_of_any_date_is_bounded(seconds in 0..253_402_300_800_u64) {
            let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));

            prop_assert!(retry_after(&date).is_some_and(|wait| wait <= MAX_RETRY_AFTER), "{}", date);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));

        let in_a_minute = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));

        assert_eq!(retry_after(" 120"), Some(Duration::from_secs(120)));
        assert!(retry_after(&in_a_minute).is_some_and(|wait| (55..=60).contains(&wait.as_secs())));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!((retry_after("soon"), retry_after("-1"), retry_after("")), (None, None, None));
        for distant in ["86400", "18446744073709551615", "99999999999999999999999", &*in_an_hour] {
            assert_eq!(retry_after(distant), Some(MAX_RETRY_AFTER), "{distant}");
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
            Ok(ResponseKind::Redirect(path)) => path,
            Ok(ResponseKind::EventStream | ResponseKind::Answer(_)) => "no redirect".to_owned(),
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
        assert_eq!(to(None, "http://["), "the upstream redirects to an invalid URL");
        assert!(to(None, "//elsewhere").ends_with("to http://elsewhere/"));
        let long: &'static str = format!("//elsewhere/{}", "x".repeat(5000)).leak();
        assert!(to(None, long).len() < 300);
        assert!(
            redirect(&origin, None, "/", None)
                .is_err_and(|error| error.to_string().ends_with("without a Location header"))
        );
    }
}
