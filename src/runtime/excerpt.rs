//! Excerpts of foreign text for errors and log lines: bounded, on one line, without control characters.
//!
//! Clients and upstreams choose paths, ids, header values and texts of errors. None of them may fill a log.

/// Returns the text in quotes, truncated to `MAX_CHARS`.
pub fn quote(text: &[u8]) -> String {
    format!("{:?}", truncate(&String::from_utf8_lossy(text)))
}

/// Returns the text without control characters, truncated to `MAX_CHARS`.
pub fn truncate(text: &str) -> String {
    let mut chars = text.chars().map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char });
    let mut truncated: String = chars.by_ref().take(MAX_CHARS).collect();
    if chars.next().is_some() {
        truncated.push('…');
    }
    truncated
}

/// Enough for a URL or a reason, and too little to fill a log.
const MAX_CHARS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_on_one_line() {
        assert_eq!(quote(b"text/\"html\""), r#""text/\"html\"""#);
        assert_eq!(quote(b"a\r\nb\x1b[1m\xff"), "\"a\u{fffd}\u{fffd}b\u{fffd}[1m\u{fffd}\"");
        assert_eq!(truncate(&"é".repeat(300)), format!("{}…", "é".repeat(MAX_CHARS)));
        assert_eq!(truncate(&"x".repeat(MAX_CHARS)), "x".repeat(MAX_CHARS));
    }
}
