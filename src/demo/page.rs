//! The files of the demo's page, embedded in the binary and served by the gateway at exact paths.
//!
//! The page runs under `default-src 'self'`: it loads nothing from elsewhere and contains nothing inline. The response
//! to `/` sets the cookie that authorizes the page's streams; scripts cannot read it. Does not serve the files, and
//! does not decide the cookie's value.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue, InvalidHeaderValue};
use serde_json::json;

/// One file, the answer to `GET` and `HEAD` with status 200.
#[derive(Clone, Debug)]
pub struct DemoPage {
    /// The complete path, matched exactly.
    pub path: &'static str,
    /// The value of `content-type`.
    pub content_type: &'static str,
    /// All other headers. Those of `/` contain the cookie and must not be logged.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The content.
    pub body: Bytes,
}

/// The name of the cookie that the page's response sets.
pub const COOKIE: &str = "rillgate_demo";

/// Returns every file of the page. The page shows `curl_line` to be copied. `cookie` is the value of [`COOKIE`]. With
/// `takes_prompts` the producer's answers can be asked for.
///
/// # Errors
/// `cookie` contains bytes that a header cannot.
pub fn pages(curl_line: &str, cookie: &str, takes_prompts: bool) -> Result<Vec<DemoPage>, InvalidHeaderValue> {
    // A session cookie: only the token in it limits its lifetime.
    let mut cookie = HeaderValue::try_from(format!("{COOKIE}={cookie}; Path=/; HttpOnly; Secure; SameSite=Strict"))?;
    cookie.set_sensitive(true);
    let about = json!({ "curl": curl_line, "takes_prompts": takes_prompts }).to_string();
    let mut pages = vec![
        page("/", "text/html; charset=utf-8", include_str!("page/index.html")),
        page("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
        page("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
        page("/panel.js", "text/javascript; charset=utf-8", include_str!("page/panel.js")),
        page("/answer-panel.js", "text/javascript; charset=utf-8", include_str!("page/answer-panel.js")),
        page("/views.js", "text/javascript; charset=utf-8", include_str!("page/views.js")),
        page("/elements.js", "text/javascript; charset=utf-8", include_str!("page/elements.js")),
        page("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
        page("/demo.json", "application/json", about),
    ];
    pages[0].headers.push((header::SET_COOKIE, cookie));
    Ok(pages)
}

fn page(path: &'static str, content_type: &'static str, body: impl Into<Bytes>) -> DemoPage {
    // The file changes with the binary and is small, so a cache would gain little and could show an old one.
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value))).into();
    DemoPage { path, content_type, headers, body: body.into() }
}

pub(super) const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(pages: &'a [DemoPage], path: &str) -> &'a DemoPage {
        pages.iter().find(|page| page.path == path).expect(path)
    }

    fn text(page: &DemoPage) -> &str {
        std::str::from_utf8(&page.body).unwrap()
    }

    #[test]
    fn only_the_document_sets_the_cookie_and_script_cannot_read_it() {
        let pages = pages("curl", "a.b.c", true).unwrap();

        let set: Vec<_> = pages
            .iter()
            .flat_map(|page| {
                page.headers.iter().filter(|(name, _)| *name == header::SET_COOKIE).map(|h| (page.path, &h.1))
            })
            .collect();

        assert_eq!(set.len(), 1);
        assert_eq!(set[0].0, "/");
        assert_eq!(set[0].1, "rillgate_demo=a.b.c; Path=/; HttpOnly; Secure; SameSite=Strict");
        assert!(!format!("{pages:?}").contains("a.b.c"));
    }

    #[test]
    fn a_cookie_that_is_not_a_header_value_is_refused() {
        assert!(pages("curl", "a\r\nb: c", true).is_err());
    }

    #[test]
    fn the_curl_line_is_served_as_json() {
        let pages = pages("curl -H \"accept: x\"", "t", false).unwrap();

        let about: serde_json::Value = serde_json::from_slice(&of(&pages, "/demo.json").body).unwrap();

        assert_eq!(about["curl"], "curl -H \"accept: x\"");
    }

    #[test]
    fn every_referenced_file_is_served() {
        let pages = pages("curl", "t", true).unwrap();
        let files = ["/", "/page.js", "/panel.js", "/answer-panel.js", "/views.js"].map(|path| text(of(&pages, path)));

        let mut found = 0;
        for reference in ["src=\"/", "href=\"/", "from \"/"].iter().flat_map(|before| files.map(|file| (file, *before)))
        {
            for after in reference.0.split(reference.1).skip(1) {
                of(&pages, &format!("/{}", after.split('"').next().unwrap()));
                found += 1;
            }
        }
        assert!(found >= 6, "found {found}");
    }

    #[test]
    fn the_page_has_nothing_inline_and_nothing_from_other_origins() {
        let pages = pages("curl", "t", true).unwrap();
        let document = text(of(&pages, "/"));

        for inline in ["<style", " style=", " onclick=", "<script>", "javascript:"] {
            assert!(!document.contains(inline), "{inline}");
        }
        for page in &pages {
            let own = text(page).replace("http://www.w3.org/", "");
            assert!(!own.contains("http://") && !own.contains("https://"), "{}", page.path);
        }
    }
}
