//! Parsers of strings with a fixed form: addresses, networks, labels, hosts, header names, claims, origins.
//!
//! Each function parses one value and reports its problem. No message quotes the value; a suggestion may repeat a part
//! of it that cannot be a secret.

use std::net::SocketAddr;

use crate::config::engine::{Value, did_you_mean, nearest};
use http::HeaderName;
use http::header::{ACCEPT, HOST};
use ipnet::IpNet;
use url::{Host, Url};

/// Parses an IP address with a port.
pub(super) fn address(value: &Value<'_>) -> Option<SocketAddr> {
    let text = value.read()?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let guess = match text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')) {
        Some(port) if text.starts_with(':') => format!("0.0.0.0:{port}"),
        Some(port) => format!("127.0.0.1:{port}"),
        None => format!("0.0.0.0:{text}"),
    };
    let guess = guess.parse::<SocketAddr>().ok();
    value.report(format!("invalid address: expected an IP address with a port{}", did_you_mean(guess)));
    None
}

/// Parses a network in CIDR notation, or a single address.
pub(super) fn network(value: &Value<'_>) -> Option<IpNet> {
    let text = value.read()?;
    let network =
        text.parse::<IpNet>().ok().or_else(|| text.parse().ok().map(|address: std::net::IpAddr| address.into()));
    if network.is_none() {
        value.report("invalid network: expected CIDR notation, such as \"10.0.0.0/8\"");
    }
    network.map(|network| network.trunc())
}

/// Parses a name that is used as a metric label and in log lines.
pub(super) fn label(value: &Value<'_>) -> Option<String> {
    let text = value.read()?;
    if !is_label(text) {
        value.report(INVALID_LABEL);
        return None;
    }
    Some(text.to_owned())
}

/// The message for an invalid label.
pub(super) const INVALID_LABEL: &str = "invalid name: expected 1 to 64 letters, digits, \"-\", \"_\", \".\" and \":\"";

/// Returns true if `text` is a valid label. `-` alone is reserved: it means "no route" in metrics.
pub(super) fn is_label(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain) && text != "-"
}

/// Parses a host name or address in the form of a normalized request: in lower case and without a port.
pub(super) fn host(value: &Value<'_>) -> Option<String> {
    let text = value.read()?;
    match Host::parse(text) {
        Ok(host) if host.to_string() == text => Some(host.to_string()),
        Ok(host) => {
            value.report(format!("host name not in normalized form{}", did_you_mean(Some(host))));
            None
        }
        Err(_) => {
            value.report("invalid host name: expected a name or an address without a port");
            None
        }
    }
}

/// Resolves the name of a table elsewhere in the file.
pub(super) fn reference<'a, T>(
    value: &Value<'a>,
    kind: &str,
    known: impl Iterator<Item = (&'a String, T)> + Clone,
) -> Option<(&'a str, T)> {
    let name = value.read()?;
    let found = known.clone().find(|(other, _)| *other == name);
    if found.is_none() {
        let meant = nearest(name, known.map(|(other, _)| other.as_str()));
        value.report(format!("unknown {kind}{}", did_you_mean(meant)));
    }
    found.map(|(_, thing)| (name, thing))
}

/// Returns the reason why a header must not be set on upstream requests, or `None` if it may be set.
pub(super) fn reserved_header(name: &HeaderName) -> Option<&'static str> {
    const OWN: &[&str] = &["host", "accept"];
    if is_hop_by_hop(name) {
        return Some("applies to a single connection (RFC 9110, 7.6.1)");
    }
    match name.as_str() {
        "content-length" | "expect" => Some("applies to a request body, and upstream requests have none"),
        "accept-encoding" => Some("is set by the gateway, which does not accept compressed responses"),
        "last-event-id" => Some("is set by the gateway; use upstreams.resume to send the id elsewhere"),
        _ => OWN.contains(&name.as_str()).then_some("is set by the gateway"),
    }
}

/// Returns true if the header applies to a single connection (RFC 9110, 7.6.1).
pub(super) fn is_hop_by_hop(name: &HeaderName) -> bool {
    const HOP_BY_HOP: &[&str] = &[
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    HOP_BY_HOP.contains(&name.as_str())
}

/// Parses the name of a header that may be set on upstream requests.
pub(super) fn header<T>(value: &Value<'_, T>, name: &str) -> Option<HeaderName> {
    let Ok(name) = name.parse::<HeaderName>() else {
        value.report("invalid header name (RFC 9110, 5.1)");
        return None;
    };
    if let Some(objection) = reserved_header(&name) {
        value.report(format!("the header {objection}"));
        return None;
    }
    Some(name)
}

/// A header name for what an upstream is always sent: two of the gateway's own fields may be replaced.
pub(super) fn upstream_header<T>(value: &Value<'_, T>, name: &str) -> Option<HeaderName> {
    match name.to_ascii_lowercase().as_str() {
        "host" => Some(HOST),
        "accept" => Some(ACCEPT),
        _ => header(value, name),
    }
}

/// Parses the name of a query parameter. Rejects the gateway's own parameters.
pub(super) fn parameter(value: &Value<'_>, name: &str) -> Option<String> {
    if ["follow", "limit", "ticket", "rillgate-stream"].contains(&name) {
        value.report("reserved for the gateway");
        return None;
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'[' | b']');
    if !(1..=128).contains(&name.len()) || !name.bytes().all(is_plain) {
        value.report(
            "invalid parameter name: expected 1 to 128 letters, digits, \"-\", \"_\", \".\", \"~\", \"[\" and \"]\"",
        );
        return None;
    }
    Some(name.to_owned())
}

/// Parses the path of a claim: names separated by dots, a JSON pointer (RFC 6901) with a leading `/`, or a single name
/// that contains `://`.
pub(super) fn claim<T>(value: &Value<'_, T>, path: &str) -> Option<String> {
    let is_pointer = path.starts_with('/');
    let is_whole = path.contains("://");
    let is_dotted = !path.is_empty() && path.split('.').all(|step| !step.is_empty());
    if is_pointer || is_whole || is_dotted {
        return Some(path.to_owned());
    }
    value.report("invalid path of a claim: expected \"a.b\", \"/a/b\" or a name with \"://\"");
    None
}

/// Returns true if `text` is the origin of an app or extension, such as `capacitor://localhost`: a host, and a scheme
/// other than those of web pages. Web views send it in this form.
fn is_app_origin(text: &str) -> bool {
    const WEB: [&str; 6] = ["http", "https", "ws", "wss", "ftp", "file"];
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    is_scheme && !WEB.contains(&scheme) && !host.is_empty() && host.bytes().all(is_host)
}

/// Parses an origin of a web page or an app in the form that browsers send (RFC 6454, 6.2), or `*`.
pub(super) fn origin(value: &Value<'_>) -> Option<String> {
    let text = value.read()?;
    if text == "*" {
        return Some(text.to_owned());
    }
    if text.contains('*') {
        value.report("patterns are not supported: origins are compared literally");
        return None;
    }
    if is_app_origin(text) {
        return Some(text.to_owned());
    }
    let origin = Url::parse(text).ok().filter(|url| url.username().is_empty() && url.password().is_none());
    let origin =
        origin.map(|url| url.origin()).filter(url::Origin::is_tuple).map(|origin| origin.ascii_serialization());
    if origin.as_deref() == Some(text) {
        return origin;
    }
    value.report(format!(
        "invalid origin: expected an origin such as \"https://app.example.com\"{}",
        did_you_mean(origin)
    ));
    None
}
