//! The client's address behind trusted proxies, from the one field that they write: `X-Forwarded-For`, or `Forwarded`
//! (RFC 7239), as configured.
//!
//! The list is read from the right, where the nearest proxy wrote. The first address that is not a trusted proxy is the
//! client's. Everything to the left of it came from the client and is ignored, whatever its bytes. So is the other field,
//! which most proxies pass on as the client wrote it. Used for limits and logs.

use std::iter;
use std::net::{IpAddr, SocketAddr};
use std::str;

use http::HeaderMap;

use crate::listen::{ClientAddress, Peer};

/// A parser of one element of a field.
type ParseElement = fn(&[u8]) -> Option<IpAddr>;

/// Returns the client's address. `peer` is the other end of the connection.
pub(crate) fn client_address(peer: &Peer, headers: &HeaderMap) -> IpAddr {
    let (mut client, trusted) = (peer.address.ip().to_canonical(), &peer.trusted_proxies);
    let (name, parse): (_, ParseElement) = match peer.client_address {
        // The connection has reported the client's address already.
        ClientAddress::Peer | ClientAddress::ProxyProtocol => return client,
        ClientAddress::XForwardedFor => ("x-forwarded-for", parse_address),
        ClientAddress::Forwarded => ("forwarded", parse_element),
    };
    if !trusted.contains(client) {
        return client;
    }
    let elements = headers.get_all(name).iter().rev().flat_map(|field| parts_from_right(field.as_bytes(), b','));
    // An address that cannot be parsed hides everything to the left of it.
    for address in elements.map_while(parse) {
        client = address;
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

/// Returns the parts of a list from right to left. A separator in a quoted string separates nothing.
fn parts_from_right(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    iter::from_fn(move || {
        let list = rest?;
        let Some(end) = last_separator(list, separator) else { return rest.take() };
        rest = Some(&list[..end]);
        Some(&list[end + 1..])
    })
}

/// Returns the position of the last separator outside quoted strings (RFC 9110, 5.6.4).
fn last_separator(list: &[u8], separator: u8) -> Option<usize> {
    // Quotes are matched from the right too: one that the client left open must not swallow what the proxy appended.
    let mut is_quoted = false;
    list.iter().enumerate().rev().find_map(|(index, byte)| {
        if *byte == b'"' {
            let backslashes = list[..index].iter().rev().take_while(|byte| **byte == b'\\').count();
            is_quoted = !is_quoted || backslashes % 2 == 1;
        }
        (*byte == separator && !is_quoted).then_some(index)
    })
}

/// Parses the `for` of one element of `Forwarded`. It must occur once (RFC 7239, 4).
fn parse_element(element: &[u8]) -> Option<IpAddr> {
    let mut nodes = parts_from_right(element, b';').filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        pair[..equals].trim_ascii().eq_ignore_ascii_case(b"for").then(|| pair[equals + 1..].trim_ascii())
    });
    let (node, None) = (nodes.next()?, nodes.next()) else { return None };
    parse_address(node.strip_prefix(b"\"").and_then(|node| node.strip_suffix(b"\"")).unwrap_or(node))
}

/// Parses an address with or without a port; an IPv6 address may have brackets.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text.trim_ascii()).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
        .map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::Protocol;

    use ClientAddress::{Forwarded, ProxyProtocol, XForwardedFor};

    fn client(source: ClientAddress, peer: &str, fields: &[(&'static str, &'static str)]) -> String {
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect::<Vec<_>>();
        client_of_bytes(source, peer, &fields)
    }

    fn client_of_bytes(source: ClientAddress, peer: &str, fields: &[(&'static str, Vec<u8>)]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value).expect("a value"));
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

    #[test]
    fn bytes_of_the_client_hide_nothing_that_a_proxy_appended() {
        let values: [&[u8]; 4] = [b"\xff", b"\"", b"for=\"1.2.3.4", b"for=\"\\"];
        for value in values {
            let appended = |element: &[u8]| [value, b", ", element].concat();
            let older = || b"1.2.3.4".to_vec();
            let fields = [("x-forwarded-for", older()), ("x-forwarded-for", appended(b"198.51.100.1"))];
            assert_eq!(client_of_bytes(XForwardedFor, "10.0.0.1", &fields), "198.51.100.1", "{value:?}");
            let fields = [("forwarded", b"for=1.2.3.4".to_vec()), ("forwarded", appended(b"for=198.51.100.1"))];
            assert_eq!(client_of_bytes(Forwarded, "10.0.0.1", &fields), "198.51.100.1", "{value:?}");
        }
    }

    #[test]
    fn a_quoted_host_names_no_client() {
        let client = |value| client(Forwarded, "10.0.0.1", &[("forwarded", value)]);
        assert_eq!(client(r#"host="x;for=1.2.3.4";for=198.51.100.1"#), "198.51.100.1");
        assert_eq!(client(r#"for=198.51.100.1;host="x,for=1.2.3.4""#), "198.51.100.1");
        assert_eq!(client(r#"for=198.51.100.1;host="x\",for=1.2.3.4""#), "198.51.100.1");
        assert_eq!(client(r#"for=198.51.100.1;host="x\\", for=192.0.2.1"#), "192.0.2.1");
        assert_eq!(client("for=1.2.3.4;for=198.51.100.1"), "10.0.0.1", "for must occur once");
    }

    /// Field values in which bytes with a meaning are frequent, beside any others that a field may have.
    fn field_value() -> impl Strategy<Value = Vec<u8>> {
        let known =
            ["for=", "1.2.3.4", "10.0.0.7", "[2001:db8::7]", ":80", "::ffff:1.2.3.4", ",", ";", "\"", "\\", "="];
        let known = prop::sample::select(known.to_vec()).prop_map(|text| text.as_bytes().to_vec());
        let any = (0x20_u8..=0xff).prop_filter("DEL is in no field", |byte| *byte != 0x7f).prop_map(|byte| vec![byte]);
        prop::collection::vec(prop_oneof![4 => known, 1 => any], 0..24).prop_map(|parts| parts.concat())
    }

    /// Returns the addresses that occur in a field, at any place.
    fn addresses_in(value: &[u8]) -> Vec<String> {
        let is_part = |byte: &u8| byte.is_ascii_hexdigit() || b".:".contains(byte);
        let words = value.split(|byte| !is_part(byte)).filter_map(|word| str::from_utf8(word).ok());
        let addresses = words.flat_map(|word| {
            let socket = word.parse().ok().map(|socket: SocketAddr| socket.ip());
            [word.parse().ok(), socket].into_iter().flatten()
        });
        addresses.map(|ip| ip.to_canonical().to_string()).collect()
    }

    proptest! {
        #[test]
        fn the_client_is_the_peer_or_an_address_of_the_field(value in field_value()) {
            for (source, name) in [(XForwardedFor, "x-forwarded-for"), (Forwarded, "forwarded")] {
                let found = client_of_bytes(source, "10.0.0.1", &[(name, value.clone())]);

                prop_assert!(found == "10.0.0.1" || addresses_in(&value).contains(&found), "{source:?}: {found}");
            }
        }

        #[test]
        fn the_address_that_a_proxy_appends_is_the_client(value in field_value(), quoted in field_value()) {
            let text = quoted.iter().flat_map(|byte| {
                let escape = b"\"\\".contains(byte).then_some(b'\\');
                escape.into_iter().chain([*byte])
            });
            let host = [b"\"", text.collect::<Vec<_>>().as_slice(), b"\""].concat();
            let elements = [
                (XForwardedFor, "x-forwarded-for", b"198.51.100.1".to_vec()),
                (Forwarded, "forwarded", [b"host=", host.as_slice(), b";for=198.51.100.1"].concat()),
                (Forwarded, "forwarded", [b"for=198.51.100.1;host=", host.as_slice()].concat()),
            ];
            for (source, name, element) in elements {
                let appended = [value.as_slice(), b", ", &element].concat();

                prop_assert_eq!(client_of_bytes(source, "10.0.0.1", &[(name, appended)]), "198.51.100.1");
            }
        }
    }
}
