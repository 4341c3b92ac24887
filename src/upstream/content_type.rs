//! The content type of a response whose header may be repeated, hold a list, or be invalid.
//!
//! Follows the Fetch standard's "extract a MIME type": the last valid value counts, and `*/*` is ignored. An event
//! source does not use the parameters.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Returns type and subtype of the last valid value, in lower case.
pub(super) fn essence(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(CONTENT_TYPE).iter().flat_map(|line| split(line.as_bytes()));
    values.filter_map(parse).rfind(|essence| essence != "*/*")
}

/// Splits one header line at its commas, except inside quoted strings.
fn split(line: &[u8]) -> Vec<&[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let is_separator = |&byte: &u8| {
        let is_separator = byte == b',' && !is_quoted;
        is_quoted ^= byte == b'"' && !is_escaped;
        is_escaped = is_quoted && byte == b'\\' && !is_escaped;
        is_separator
    };
    line.split(is_separator).collect()
}

fn parse(value: &[u8]) -> Option<String> {
    let essence = std::str::from_utf8(value.split(|&byte| byte == b';').next()?).ok()?;
    let (main, sub) = essence.trim_matches([' ', '\t']).split_once('/')?;
    (is_token(main) && is_token(sub)).then(|| format!("{main}/{sub}").to_ascii_lowercase())
}

/// Checks for a token of RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(lines: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CONTENT_TYPE, HeaderValue::from_bytes(line).expect("a field value"));
        }
        essence(&headers)
    }

    #[test]
    fn the_last_valid_value_counts() {
        let stream = Some("text/event-stream".to_owned());
        for lines in [
            &[&b"text/event-stream"[..]][..],
            &[b"text/html", b"text/event-stream"],
            &[b"text/html, Text/Event-Stream ; charset=utf-8"],
            &[b"text/event-stream", b"nonsense"],
            &[b"text/event-stream", b""],
            &[b"text/event-stream", b"*/*"],
            &[b"text/event-stream", b"text/\xe9"],
            &[b"text/html;x=\"a,text/plain\"", b"text/event-stream;x=\"a\\\", text/plain\""],
            &[b"text/event-stream;", b"text /html"],
        ] {
            assert_eq!(of(lines), stream, "{:?}", lines.iter().map(|line| line.escape_ascii()).collect::<Vec<_>>());
        }
        assert_eq!(of(&[b"text/event-stream", b"text/html"]).as_deref(), Some("text/html"));
        assert_eq!(of(&[b"text/event-stream, text/html"]).as_deref(), Some("text/html"));
        assert_eq!((of(&[]), of(&[b""]), of(&[b"text"]), of(&[b"*/*"])), (None, None, None, None));
    }
}
