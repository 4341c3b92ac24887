//! Words of an upstream's that stand in an error or a log line: bounded, on one line, without control characters.

/// The words in quotes, shortened to [`MOST_CHARS`].
pub(super) fn quoted(words: &[u8]) -> String {
    format!("{:?}", shortened(&String::from_utf8_lossy(words)))
}

/// The text without control characters, shortened to [`MOST_CHARS`].
pub(super) fn shortened(text: &str) -> String {
    let mut chars = text.chars().map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char });
    let mut short: String = chars.by_ref().take(MOST_CHARS).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// Enough for a URL or a reason, too little to fill a log with.
const MOST_CHARS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_are_short_and_on_one_line() {
        assert_eq!(quoted(b"text/\"html\""), r#""text/\"html\"""#);
        assert_eq!(quoted(b"a\r\nb\x1b[1m\xff"), "\"a\u{fffd}\u{fffd}b\u{fffd}[1m\u{fffd}\"");
        assert_eq!(shortened(&"é".repeat(300)), format!("{}…", "é".repeat(MOST_CHARS)));
        assert_eq!(shortened(&"x".repeat(MOST_CHARS)), "x".repeat(MOST_CHARS));
    }
}
