//! Protection of the admin port from web pages in an operator's browser.
//!
//! The port authenticates no one, so a page must not reach it through the browser of its visitor: not by DNS rebinding,
//! which resolves a domain of the attacker to this address, and not by cross-site requests. Clients that are not
//! browsers pass: probes and scrapers do not send the headers that this file checks, and name the port by its address
//! or by a name of their own network.

use std::net::{IpAddr, Ipv6Addr};

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Method, StatusCode, Uri};

/// The status and detail of a refusal.
pub(super) type Refusal = (StatusCode, &'static str);

/// Suffixes of names that no one can register in the public domain name system.
const PRIVATE_SUFFIXES: [&str; 5] = [".localhost", ".internal", ".svc", ".cluster.local", ".home.arpa"];

/// Refuses a request that may come from a foreign page. `hosts` are further names of the port, in lower case.
pub(super) fn check(method: &Method, uri: &Uri, headers: &HeaderMap, hosts: &[String]) -> Result<(), Refusal> {
    // A probe may use any name. A page learns no more from these answers than from the open port.
    if !matches!(uri.path(), "/livez" | "/readyz") && !is_own_name(uri, headers, hosts) {
        return Err((
            StatusCode::MISDIRECTED_REQUEST,
            "unknown name of the admin port: use its address, or add the name to admin.hosts",
        ));
    }
    let is_safe = matches!(*method, Method::GET | Method::HEAD);
    // Browsers state the origin of a request that changes something, and no page may change anything here.
    if !is_safe && (headers.contains_key(ORIGIN) || sites(headers).any(|site| site != b"none")) {
        return Err((StatusCode::FORBIDDEN, "requests from web pages may not change anything"));
    }
    // A link to this port may be followed. Requests in the background could occupy all places of viewers.
    let is_navigation = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    if !is_navigation && sites(headers).any(|site| site != b"same-origin" && site != b"none") {
        return Err((StatusCode::FORBIDDEN, "requests from pages of other sites are refused"));
    }
    Ok(())
}

fn sites(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all("sec-fetch-site").iter().map(|site| site.as_bytes())
}

/// Whether every name that the request uses for this port is one of its own. Every browser sends a name; a request
/// without one passes.
fn is_own_name(uri: &Uri, headers: &HeaderMap, hosts: &[String]) -> bool {
    let named = uri.authority().map(|authority| authority.as_str());
    let mut all = headers.get_all(HOST).iter().map(|host| host.to_str().ok()).chain(named.map(Some));
    all.all(|name| name.is_some_and(|name| is_own(host(name), hosts)))
}

/// Returns the name without its port. An IPv6 address keeps its brackets.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn is_own(host: &str, hosts: &[String]) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = host.parse::<IpAddr>().is_ok() || bracketed.is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    let is_label =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    // A single label belongs to the local network or to a container: no public domain has one label. Digits alone would
    // be an address in an unusual notation.
    let is_local = is_label(&host) && !host.bytes().all(|byte| byte.is_ascii_digit());
    is_address || is_local || PRIVATE_SUFFIXES.iter().any(|suffix| host.ends_with(suffix)) || hosts.contains(&host)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn ask(method: &str, path: &str, fields: &[(&str, &str)]) -> Result<(), u16> {
        let request = Request::builder().method(method).uri(path);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let head = request.body(()).expect("a request").into_parts().0;
        let own = ["ops.example.com".to_owned()];
        check(&head.method, &head.uri, &head.headers, &own).map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn addresses_local_names_and_configured_names_are_accepted() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9464",
            "10.1.2.3:9464",
            "[::1]:9464",
            "[2001:db8::1]",
            "localhost",
            "LOCALHOST:9464",
            "a.localhost",
            "rillgate:9464",
            "rillgate-0",
            "rillgate.monitoring.svc:9464",
            "10-1-2-3.default.pod.cluster.local",
            "gateway.internal.",
            "ops.example.com:9464",
            "OPS.example.com",
        ] {
            assert_eq!(ask("GET", "/streams", &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(ask("GET", "/streams", &[]), Ok(()), "HTTP/1.0");
    }

    #[test]
    fn names_that_anyone_can_register_are_refused() {
        for host in [
            "evil.example.com",
            "evil.example.com:9464",
            "127.0.0.1.nip.io",
            "localhost.evil.com",
            "notlocalhost.com",
            "xsvc.com",
            "",
            ":9464",
            "2130706433",
            "127.1",
            "evil.com:80:9464",
            "sub.ops.example.com",
            "a b",
            "[evil]",
        ] {
            assert_eq!(ask("GET", "/metrics", &[("host", host)]), Err(421), "{host}");
        }
        assert_eq!(ask("GET", "/metrics", &[("host", "localhost"), ("host", "evil.com")]), Err(421));
        assert_eq!(ask("GET", "http://evil.com/metrics", &[("host", "localhost")]), Err(421));
        assert_eq!(ask("GET", "/livez", &[("host", "probe.example.com")]), Ok(()));
    }

    #[test]
    fn web_pages_cannot_change_anything() {
        for method in ["POST", "PUT", "DELETE"] {
            assert_eq!(ask(method, "/log-level", &[]), Ok(()));
            assert_eq!(ask(method, "/log-level", &[("sec-fetch-site", "none")]), Ok(()));
            for field in [("origin", "http://127.0.0.1:9464"), ("origin", "null"), ("sec-fetch-site", "same-origin")] {
                assert_eq!(ask(method, "/log-level", &[field]), Err(403), "{field:?}");
            }
        }
    }

    #[test]
    fn a_foreign_page_may_link_here_but_not_send_background_requests() {
        for site in ["cross-site", "same-site"] {
            assert_eq!(ask("GET", "/events", &[("sec-fetch-site", site), ("sec-fetch-mode", "cors")]), Err(403));
            assert_eq!(ask("GET", "/", &[("sec-fetch-site", site), ("sec-fetch-mode", "navigate")]), Ok(()));
        }
        assert_eq!(ask("GET", "/events", &[("sec-fetch-site", "same-origin")]), Ok(()));
    }
}
