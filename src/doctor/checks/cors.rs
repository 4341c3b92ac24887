//! Cross-origin reads: whether a browser lets a page of another origin read the stream (Fetch, 3.2).

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION,
};
use http::{HeaderMap, HeaderName};

use super::StreamCheck;
use crate::doctor::finding::{FindingKind, StreamFinding};
use crate::doctor::observations::{Observations, Page};

/// Decides as a browser does.
pub(super) struct CrossOrigin;

impl StreamCheck for CrossOrigin {
    fn check(&self, seen: &Observations) -> Option<StreamFinding> {
        let page = seen.page.as_ref()?;
        let reason = match seen.head() {
            Some(head) => refusal(page, &head.headers).map(|reason| format!("the response {reason}")),
            None => None,
        };
        let reason = reason.or_else(|| preflight_refusal(page))?;
        let origin = String::from_utf8_lossy(page.origin.as_bytes());
        let found = format!("a browser does not let pages of {origin} read the stream: {reason}");
        Some(StreamFinding { kind: FindingKind::Cors, found, remedy: REMEDY })
    }
}

/// Says why a response with these fields is refused, if it is.
fn refusal(page: &Page, fields: &HeaderMap) -> Option<String> {
    let Some(allowed) = fields.get(ACCESS_CONTROL_ALLOW_ORIGIN) else {
        return Some("has no Access-Control-Allow-Origin".to_owned());
    };
    let is_for_all = allowed == "*" && !page.has_cookie;
    if fields.get_all(ACCESS_CONTROL_ALLOW_ORIGIN).iter().count() > 1 || !(is_for_all || *allowed == page.origin) {
        let allowed: Vec<_> = fields.get_all(ACCESS_CONTROL_ALLOW_ORIGIN).iter().collect();
        return Some(format!("has Access-Control-Allow-Origin: {allowed:?}"));
    }
    let is_with_cookies = fields.get(ACCESS_CONTROL_ALLOW_CREDENTIALS).is_some_and(|value| value == "true");
    (page.has_cookie && !is_with_cookies)
        .then(|| "has no Access-Control-Allow-Credentials: true, which cookies need".to_owned())
}

/// Says why the request is not even sent, if the browser asks beforehand.
fn preflight_refusal(page: &Page) -> Option<String> {
    if page.asked_fields.is_empty() {
        return None;
    }
    let Some((status, fields)) = &page.preflight else {
        return Some("the preflight request (OPTIONS) was not answered".to_owned());
    };
    if !status.is_success() {
        return Some(format!("the answer to the preflight request (OPTIONS) is {status}"));
    }
    if let Some(reason) = refusal(page, fields) {
        return Some(format!("the answer to the preflight request (OPTIONS) {reason}"));
    }
    let refused = page.asked_fields.iter().find(|name| !is_allowed(page, fields, name))?;
    Some(format!("the answer to the preflight request (OPTIONS) does not allow the field {refused}"))
}

fn is_allowed(page: &Page, fields: &HeaderMap, name: &HeaderName) -> bool {
    let lines = fields.get_all(ACCESS_CONTROL_ALLOW_HEADERS).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).any(|allowed| {
        // `*` does not cover `Authorization`, nor anything where there are cookies (Fetch, 4.8).
        allowed.eq_ignore_ascii_case(name.as_str()) || (allowed == "*" && name != AUTHORIZATION && !page.has_cookie)
    })
}

const REMEDY: &str = "list the origin in the route's cors.origins (with cors.credentials for cookies), and let OPTIONS and \
                      the fields Access-Control-* pass through every proxy";

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode};

    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, value.parse().expect("a value"));
        }
        map
    }

    fn page(has_cookie: bool, asked: &[HeaderName], preflight: Option<HeaderMap>) -> Page {
        Page {
            origin: HeaderValue::from_static("https://a.example"),
            has_cookie,
            asked_fields: asked.to_vec(),
            preflight: preflight.map(|fields| (StatusCode::NO_CONTENT, fields)),
        }
    }

    #[test]
    fn a_response_is_refused_as_by_a_browser() {
        let own = ("access-control-allow-origin", "https://a.example");
        let all = ("access-control-allow-origin", "*");
        let cookies = ("access-control-allow-credentials", "true");
        for (has_cookie, response, is_allowed) in [
            (false, &[own][..], true),
            (false, &[all], true),
            (false, &[], false),
            (false, &[("access-control-allow-origin", "https://b.example")], false),
            (false, &[own, own], false),
            (true, &[own, cookies], true),
            (true, &[own], false),
            (true, &[all, cookies], false),
        ] {
            let refused = refusal(&page(has_cookie, &[], None), &fields(response));
            assert_eq!(refused.is_none(), is_allowed, "{has_cookie} {response:?}: {refused:?}");
        }
    }

    #[test]
    fn a_token_needs_an_answer_that_names_authorization() {
        let origin = ("access-control-allow-origin", "*");
        let allowed = |value| ("access-control-allow-headers", value);
        let refused = |preflight| preflight_refusal(&page(false, &[AUTHORIZATION], preflight));

        assert_eq!(refused(Some(fields(&[origin, allowed("X-A, Authorization")]))), None);
        assert!(refused(Some(fields(&[origin, allowed("*")]))).is_some());
        assert!(refused(Some(fields(&[allowed("authorization")]))).is_some());
        assert!(refused(None).is_some());
        assert_eq!(preflight_refusal(&page(false, &[], None)), None, "it does not ask");
    }
}
