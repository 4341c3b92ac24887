//! The client's address behind trusted proxies, from the one field that they write: `X-Forwarded-For`, or `Forwarded`
//! (RFC 7239), as configured.
//!
//! The list is read from the right, where the nearest proxy wrote. The first address that is not a trusted proxy is the
//! client's. Everything to the left of it came from the client and is ignored. So is the other field, which most proxies
//! pass on as the client wrote it. Used for limits and logs.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::listen::{ClientAddress, Peer};

/// A field that proxies write.
#[derive(Clone, Copy)]
enum Field {
    XForwardedFor,
    Forwarded,
}

/// Returns the client's address. `peer` is the other end of the connection.
pub(super) fn client_address(peer: &Peer, headers: &HeaderMap) -> IpAddr {
    let (mut client, trusted) = (peer.address.ip().to_canonical(), &peer.trusted_proxies);
    let field = match peer.client_address {
        // The connection has reported the client's address already.
        ClientAddress::Peer | ClientAddress::ProxyProtocol => return client,
        ClientAddress::XForwardedFor => Field::XForwardedFor,
        ClientAddress::Forwarded => Field::Forwarded,
    };
    if !trusted.contains(client) {
        return client;
    }
    // An address that cannot be parsed hides everything to the left of it.
    for address in forwarding_chain(field, headers).into_iter().rev().map_while(|hop| hop) {
        client = address;
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

/// Returns the addresses that proxies forwarded for, from left to right; `None` for one that cannot be parsed.
fn forwarding_chain(field: Field, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = |name: &str| {
        let fields = headers.get_all(name).iter().filter_map(|field| field.to_str().ok());
        fields.flat_map(|field| field.split(',')).map(|value| value.trim().to_owned()).collect::<Vec<_>>()
    };
    match field {
        Field::XForwardedFor => values("x-forwarded-for").iter().map(|value| parse_address(value)).collect(),
        Field::Forwarded => values("forwarded").iter().map(|element| parse_element(element)).collect(),
    }
}

/// Parses the `for` of one element of `Forwarded` (RFC 7239, 4).
fn parse_element(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| parse_address(value.trim().trim_matches('"')))?
    })
}

/// Parses an address with or without a port; an IPv6 address may have brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
        .map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Protocol;

    use ClientAddress::{Forwarded, ProxyProtocol, XForwardedFor};

    fn client(source: ClientAddress, peer: &str, fields: &[(&'static str, &'static str)]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        let peer = Peer {
            address: (peer.parse::<IpAddr>().expect("an address"), 4711).into(),
            protocol: Protocol::Http1,
            is_tls: false,
            server_name: None,
            is_over_ip_limit: false,
            trusted_proxies: trusted.as_slice().into(),
            client_address: source,
            has_successor: false,
        };
        client_address(&peer, &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_may_forward_for_a_client() {
        let client = |peer, fields| client(XForwardedFor, peer, fields);
        assert_eq!(client("203.0.113.9", &[("x-forwarded-for", "198.51.100.1")]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "198.51.100.1")]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn addresses_that_the_client_wrote_itself_are_ignored() {
        let client = |fields| client(XForwardedFor, "10.0.0.1", fields);
        assert_eq!(client(&[("x-forwarded-for", "1.2.3.4, 198.51.100.1, 10.9.9.9")]), "198.51.100.1");
        assert_eq!(client(&[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "198.51.100.1")]), "198.51.100.1");
        assert_eq!(client(&[("x-forwarded-for", "1.2.3.4, nonsense, 10.9.9.9")]), "10.9.9.9");
    }

    #[test]
    fn forwarded_may_have_ports_and_brackets() {
        let client = |peer, fields| client(Forwarded, peer, fields);
        assert_eq!(client("fd00::1", &[("forwarded", r#"for="[2001:db8::7]:4711";proto=https"#)]), "2001:db8::7");
        assert_eq!(client("10.0.0.1", &[("forwarded", "for=198.51.100.1:80, for=10.2.2.2")]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[("forwarded", "for=_hidden")]), "10.0.0.1");
    }

    #[test]
    fn only_the_configured_field_counts() {
        let both = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "198.51.100.1")];
        let expected = [
            (XForwardedFor, "198.51.100.1"),
            (Forwarded, "192.0.2.1"),
            (ClientAddress::Peer, "10.0.0.1"),
            (ProxyProtocol, "10.0.0.1"),
        ];
        for (source, address) in expected {
            assert_eq!(client(source, "10.0.0.1", &both), address, "{source:?}");
        }
        assert_eq!(client(XForwardedFor, "10.0.0.1", &both[..1]), "10.0.0.1", "no fallback to the other field");
        assert_eq!(client(Forwarded, "10.0.0.1", &both[1..]), "10.0.0.1", "no fallback to the other field");
    }
}
