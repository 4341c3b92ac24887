//! The header fields that are not passed on.
//!
//! Hop-by-hop fields belong to one connection (RFC 9110, 7.6.1). Fields that say who the client is, and names that some
//! servers take for them (`X_Forwarded_For`), are written by the gateway alone. Pure.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Removes what a request does not pass on. `TE: trailers` stays.
pub fn drop_request_fields(headers: &mut HeaderMap) {
    let takes_trailers = headers.get_all(TE).iter().any(|value| {
        let coding =
            |part: &str| part.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("trailers"));
        value.to_str().is_ok_and(|value| value.split(',').any(coding))
    });
    drop_hop_by_hop(headers);
    let foreign: Vec<HeaderName> = headers.keys().filter(|name| is_written_here(name)).cloned().collect();
    for name in foreign {
        headers.remove(name);
    }
    headers.remove(HOST);
    headers.remove(EXPECT);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Removes what a response does not pass on.
pub fn drop_response_fields(headers: &mut HeaderMap) {
    drop_hop_by_hop(headers);
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // These say where the message ends and whom it is for, so no peer may take them away.
        .filter(|name| *name != CONTENT_LENGTH && *name != HOST)
        .collect();
    for name in &listed {
        headers.remove(name);
    }
    for name in [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "http2-settings"] {
        headers.remove(name);
    }
}

/// Whether only the gateway writes this field, or some servers read it as one that only the gateway writes.
fn is_written_here(name: &HeaderName) -> bool {
    let text = name.as_str();
    *name == FORWARDED || text == "x-real-ip" || text.starts_with("x-forwarded-") || text.contains('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn kept(fields_given: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = fields(fields_given);
        drop_request_fields(&mut headers);
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect()
    }

    #[test]
    fn fields_of_the_connection_stay_behind() {
        let given = [
            ("accept", "a"),
            ("connection", "close, x-one"),
            ("connection", "X-Two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "gzip, trailers;q=0.5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
            ("expect", "100-continue"),
            ("trailer", "x-sum"),
        ];

        assert_eq!(kept(&given), ["accept: a", "trailer: x-sum", "te: trailers"]);
    }

    #[test]
    fn a_client_cannot_say_who_it_is_nor_take_the_length_away() {
        let given = [
            ("forwarded", "for=1.1.1.1"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-anything", "a"),
            ("x-real-ip", "1.1.1.1"),
            ("x_forwarded_for", "1.1.1.1"),
            ("a_b", "1"),
            ("connection", "content-length, host"),
            ("content-length", "5"),
        ];

        assert_eq!(kept(&given), ["content-length: 5"]);
    }
}
