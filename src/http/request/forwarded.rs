//! The client's address behind trusted proxies: from `Forwarded` (RFC 7239), else from `X-Forwarded-For`.
//!
//! The list is read from the right, where the nearest proxy wrote. The first address that is not a trusted proxy is the
//! client's. Everything to the left of it came from the client and is ignored. Used for limits and logs.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::listen::TrustedProxies;

/// Returns the client's address. `peer` is the other end of the connection.
pub(super) fn client_address(peer: IpAddr, trusted: &TrustedProxies, headers: &HeaderMap) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted.contains(client) {
        return client;
    }
    // An address that cannot be parsed hides everything to the left of it.
    for address in forwarding_chain(headers).into_iter().rev().map_while(|hop| hop) {
        client = address;
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

/// Returns the addresses that proxies forwarded for, from left to right; `None` for one that cannot be parsed.
fn forwarding_chain(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = |name: &str| {
        let fields = headers.get_all(name).iter().filter_map(|field| field.to_str().ok());
        fields.flat_map(|field| field.split(',')).map(|value| value.trim().to_owned()).collect::<Vec<_>>()
    };
    let forwarded = values("forwarded");
    if forwarded.is_empty() {
        return values("x-forwarded-for").iter().map(|value| parse_address(value)).collect();
    }
    let node = |element: &String| {
        element.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then(|| parse_address(value.trim().trim_matches('"')))?
        })
    };
    forwarded.iter().map(node).collect()
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

    fn client(peer: &str, fields: &[(&'static str, &'static str)]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        client_address(peer.parse().expect("an address"), &trusted.as_slice().into(), &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_may_forward_for_a_client() {
        assert_eq!(client("203.0.113.9", &[("x-forwarded-for", "198.51.100.1")]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "198.51.100.1")]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn addresses_that_the_client_wrote_itself_are_ignored() {
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, 198.51.100.1, 10.9.9.9")]), "198.51.100.1");
        assert_eq!(
            client("10.0.0.1", &[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "198.51.100.1")]),
            "198.51.100.1"
        );
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, nonsense, 10.9.9.9")]), "10.9.9.9");
    }

    #[test]
    fn forwarded_wins_over_x_forwarded_for_and_may_have_ports_and_brackets() {
        assert_eq!(
            client(
                "fd00::1",
                &[("forwarded", r#"for="[2001:db8::7]:4711";proto=https"#), ("x-forwarded-for", "1.2.3.4")]
            ),
            "2001:db8::7"
        );
        assert_eq!(client("10.0.0.1", &[("forwarded", "for=198.51.100.1:80, for=10.2.2.2")]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[("forwarded", "for=_hidden")]), "10.0.0.1");
    }
}
