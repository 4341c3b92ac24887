//! Things that are written as strings and are not just any string: addresses, networks, labels, hosts, header names,
//! claims, origins.
//!
//! Each function reads one value, notes what is wrong with it and gives back what can be believed. No message quotes the
//! value; a suggestion may repeat a part of it that cannot be a secret.

use std::net::SocketAddr;

use crate::config::engine::{Value, did_you_mean, nearest};
use http::HeaderName;
use http::header::{ACCEPT, HOST};
use ipnet::IpNet;
use url::{Host, Url};

/// An IP address with a port.
pub(super) fn address(value: &Value<'_>) -> Option<SocketAddr> {
    let text = value.string()?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let guess = match text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')) {
        Some(port) if text.starts_with(':') => format!("0.0.0.0:{port}"),
        Some(port) => format!("127.0.0.1:{port}"),
        None => format!("0.0.0.0:{text}"),
    };
    let guess = guess.parse::<SocketAddr>().ok();
    value.report(format!("is not an IP address with a port{}", did_you_mean(guess)));
    None
}

/// A network in CIDR notation, or a single address.
pub(super) fn network(value: &Value<'_>) -> Option<IpNet> {
    let text = value.string()?;
    let network =
        text.parse::<IpNet>().ok().or_else(|| text.parse().ok().map(|address: std::net::IpAddr| address.into()));
    if network.is_none() {
        value.report("is not a network in CIDR notation, such as \"10.0.0.0/8\"");
    }
    network.map(|network| network.trunc())
}

/// A name that becomes a metric label or stands in log lines.
pub(super) fn label(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if !is_label(text) {
        value.report(INVALID_LABEL);
        return None;
    }
    Some(text.to_owned())
}

pub(super) const INVALID_LABEL: &str = "is not a name: 1 to 64 letters, digits, \"-\", \"_\", \".\" and \":\"";

/// Whether `text` is short and plain enough for a label. `-` alone means "no route" in metrics.
pub(super) fn is_label(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain) && text != "-"
}

/// A host name or address as requests spell it, in lower case and without a port.
pub(super) fn host(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    match Host::parse(text) {
        Ok(host) if host.to_string() == text => Some(host.to_string()),
        Ok(host) => {
            value.report(format!("is not in the form that requests use{}", did_you_mean(Some(host))));
            None
        }
        Err(_) => {
            value.report("is not a host name (without a port)");
            None
        }
    }
}

/// A name that refers to a table elsewhere in the file.
pub(super) fn reference<'a, T>(
    value: &Value<'a>,
    what: &str,
    known: impl Iterator<Item = (&'a String, T)> + Clone,
) -> Option<(&'a str, T)> {
    let name = value.string()?;
    let found = known.clone().find(|(other, _)| *other == name);
    if found.is_none() {
        let meant = nearest(name, known.map(|(other, _)| other.as_str()));
        value.report(format!("there is no {what} of this name{}", did_you_mean(meant)));
    }
    found.map(|(_, thing)| (name, thing))
}

/// Why a header may not be sent upstream on someone's wish.
pub(super) fn reserved_header(name: &HeaderName) -> Option<&'static str> {
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
    const OWN: &[&str] = &["host", "accept"];
    if HOP_BY_HOP.contains(&name.as_str()) {
        return Some("belongs to a single connection (RFC 9110, 7.6.1)");
    }
    match name.as_str() {
        "content-length" | "expect" => Some("is about a body, and the request has none"),
        "accept-encoding" => Some("is written by the gateway itself: it reads no compressed response"),
        "last-event-id" => Some("is written by the gateway itself: upstreams.resume says where the id goes"),
        _ => OWN.contains(&name.as_str()).then_some("is written by the gateway itself"),
    }
}

/// A header name for the upstream request.
pub(super) fn header(value: &Value<'_>, name: &str) -> Option<HeaderName> {
    let Ok(name) = name.parse::<HeaderName>() else {
        value.report("is not a header name (RFC 9110, 5.1)");
        return None;
    };
    if let Some(objection) = reserved_header(&name) {
        value.report(format!("the header {objection}"));
        return None;
    }
    Some(name)
}

/// A header name for what an upstream is always sent: two of the gateway's own fields may be replaced.
pub(super) fn upstream_header(value: &Value<'_>, name: &str) -> Option<HeaderName> {
    match name.to_ascii_lowercase().as_str() {
        "host" => Some(HOST),
        "accept" => Some(ACCEPT),
        _ => header(value, name),
    }
}

/// The name of a query parameter that does not belong to the gateway.
pub(super) fn parameter(value: &Value<'_>, name: &str) -> Option<String> {
    if ["follow", "limit", "ticket"].contains(&name) {
        value.report("this query parameter is the gateway's own");
        return None;
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'[' | b']');
    if !(1..=128).contains(&name.len()) || !name.bytes().all(is_plain) {
        value.report("is not the name of a query parameter: 1 to 128 letters, digits and \"-\", \"_\", \".\", \"~\"");
        return None;
    }
    Some(name.to_owned())
}

/// The path of a claim: dots descend, a leading `/` is a JSON pointer (RFC 6901), `://` is taken whole.
pub(super) fn claim(value: &Value<'_>, path: &str) -> Option<String> {
    let is_pointer = path.starts_with('/');
    let is_whole = path.contains("://");
    let is_dotted = !path.is_empty() && path.split('.').all(|step| !step.is_empty());
    if is_pointer || is_whole || is_dotted {
        return Some(path.to_owned());
    }
    value.report("is not the path of a claim: \"a.b\", \"/a/b\" or a name with \"://\"");
    None
}

/// Whether `text` is the origin of an app or an extension, such as `capacitor://localhost`: a scheme that is none of the
/// web's, and a host. Web views send it as it is.
fn is_app_origin(text: &str) -> bool {
    const WEB: [&str; 6] = ["http", "https", "ws", "wss", "ftp", "file"];
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    is_scheme && !WEB.contains(&scheme) && !host.is_empty() && host.bytes().all(is_host)
}

/// An origin as browsers send it (RFC 6454, 6.2), of a web page or an app, or `*`.
pub(super) fn origin(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if text == "*" {
        return Some(text.to_owned());
    }
    if text.contains('*') {
        value.report("is a pattern, which no origin matches: origins are compared literally");
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
    value.report(format!("is not an origin, such as \"https://app.example.com\"{}", did_you_mean(origin)));
    None
}
