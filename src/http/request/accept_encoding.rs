//! The content coding of a response (RFC 9110, 12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::coding::ContentCoding;

/// Returns the coding among `offered` that the client accepts with the highest weight; of several, the first one. `None`:
/// no coding, because the client accepts none, or prefers none.
pub(crate) fn select(headers: &HeaderMap, offered: &[ContentCoding]) -> Option<ContentCoding> {
    if offered.is_empty() {
        return None;
    }
    let (mut named, mut others, mut identity) = ([None; ContentCoding::ALL.len()], None, None);
    let fields = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
    for member in fields.flat_map(|field| field.split(',')) {
        let mut parts = member.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(weight).unwrap_or(MAX_WEIGHT);
        let name = if name.eq_ignore_ascii_case("x-gzip") { "gzip" } else { name };
        if name == "*" {
            others = Some(weight);
        } else if name.eq_ignore_ascii_case("identity") {
            identity = Some(weight);
        } else if let Some(coding) =
            ContentCoding::ALL.into_iter().find(|ours| name.eq_ignore_ascii_case(ours.as_str()))
        {
            named[coding as usize] = Some(weight);
        }
    }
    let mut selected = (identity.unwrap_or(0), None);
    for &coding in offered {
        let weight = named[coding as usize].or(others).unwrap_or(0);
        // What is as welcome as no coding is better than none.
        if weight > selected.0 || (weight == selected.0 && weight > 0 && selected.1.is_none()) {
            selected = (weight, Some(coding));
        }
    }
    selected.1
}

/// Returns the weight of a parameter `q`, in thousandths (RFC 9110, 12.4.2). An invalid one counts as zero.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let (whole, decimals) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let is_valid = decimals.len() <= 3 && decimals.bytes().all(|digit| digit.is_ascii_digit());
    let thousandths = match whole {
        "0" if is_valid => format!("{decimals:0<3}").parse().unwrap_or(0),
        "1" if is_valid => MAX_WEIGHT,
        _ => 0,
    };
    name.trim().eq_ignore_ascii_case("q").then_some(thousandths)
}

/// The weight of a member without one.
const MAX_WEIGHT: u16 = 1000;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const BOTH: [ContentCoding; 2] = [ContentCoding::Zstd, ContentCoding::Gzip];

    fn selected(fields: &[&'static str], offered: &[ContentCoding]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(field));
        }
        select(&headers, offered).map(ContentCoding::as_str)
    }

    #[test]
    fn the_first_coding_that_the_client_accepts_is_selected() {
        assert_eq!(selected(&["gzip, deflate, br, zstd"], &BOTH), Some("zstd"));
        assert_eq!(selected(&["gzip, deflate, br, zstd"], &[ContentCoding::Gzip]), Some("gzip"));
        assert_eq!(selected(&["gzip, deflate"], &BOTH), Some("gzip"));
        assert_eq!(selected(&["br", "GZIP"], &BOTH), Some("gzip"));
        assert_eq!(selected(&["x-gzip"], &BOTH), Some("gzip"));
        assert_eq!(selected(&["*"], &BOTH), Some("zstd"));
    }

    #[test]
    fn weights_count() {
        assert_eq!(selected(&["zstd;q=0.5, gzip; q=0.8"], &BOTH), Some("gzip"));
        assert_eq!(selected(&["zstd;q=0, *"], &BOTH), Some("gzip"));
        assert_eq!(selected(&["gzip;q=0.5, identity"], &BOTH), None);
        assert_eq!(selected(&["gzip, identity"], &BOTH), Some("gzip"));
        assert_eq!(selected(&["gzip;q=x"], &BOTH), None);
        assert_eq!(selected(&["gzip;q=0.0005"], &BOTH), None);
        assert_eq!(selected(&["gzip;q=0.001"], &BOTH), Some("gzip"));
        assert_eq!(selected(&["gzip; Q = 1.000, zstd;q=0.999"], &BOTH), Some("gzip"));
    }

    #[test]
    fn nothing_is_selected_that_the_client_does_not_name() {
        assert_eq!(selected(&[], &BOTH), None);
        assert_eq!(selected(&["", "identity, br"], &BOTH), None);
        assert_eq!(selected(&["gzip"], &[]), None);
    }
}
