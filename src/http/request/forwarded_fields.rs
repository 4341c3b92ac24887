//! The fields of a forwarded request that say who the client is: `Forwarded` (RFC 7239) and `X-Forwarded-*`.
//!
//! They are written anew. Of what a request had, only what a trusted proxy in front wrote is believed.

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::listen::Peer;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Writes the fields. `client` is the client's address, and `received` are the fields of the request.
pub(crate) fn write(headers: &mut HeaderMap, peer: &Peer, client: IpAddr, received: &HeaderMap, authority: &str) {
    let proxy = peer.address.ip().to_canonical();
    let proto = scheme(peer, received);
    let chain = if proxy == client { client.to_string() } else { format!("{client}, {proxy}") };
    let node = match client {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let mut element = format!("for={node};proto={proto}");
    if !authority.is_empty() {
        element.push_str(&format!(";host=\"{authority}\""));
        headers.insert(HOST, value(authority));
    }
    headers.insert(FORWARDED, value(&element));
    headers.insert(FOR, value(&chain));
    headers.insert(PROTO, HeaderValue::from_static(proto));
}

/// Returns the scheme that the client used. A trusted proxy may have terminated TLS.
fn scheme(peer: &Peer, received: &HeaderMap) -> &'static str {
    let mut named = received.get_all(PROTO).iter();
    match (named.next(), named.next()) {
        (Some(proto), None) if peer.trusted_proxies.contains(peer.address.ip()) && proto == "https" => "https",
        (Some(proto), None) if peer.trusted_proxies.contains(peer.address.ip()) && proto == "http" => "http",
        _ if peer.is_tls => "https",
        _ => "http",
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("addresses and authorities are visible ASCII")
}
