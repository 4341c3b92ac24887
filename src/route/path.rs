//! The canonical form of a request's path.
//!
//! Each segment is decoded once and encoded again in one form, so that two spellings of a path are always the same path
//! (RFC 3986, 6.2.2). Routes, captures and tokens use the decoded form. Stream keys, logs and URLs use the encoded form. A
//! slash at the end makes an empty last segment, which is compared like any other. Pure. Does not know routes.

use percent_encoding::percent_decode_str;

use super::percent;

/// The path of a request in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath {
    decoded: String,
    encoded: String,
}

/// The reason why a path has no canonical form. Displayed after "invalid path: ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// The path is not absolute, such as the `*` of `OPTIONS *`.
    #[error("does not start with \"/\"")]
    NotAbsolute,
    /// A percent sign is not followed by two hexadecimal digits: `%`, `%4` or `%zz`.
    #[error("\"%\" without two hexadecimal digits")]
    Encoding,
    /// A decoded segment is not UTF-8. Overlong forms and surrogates count as such.
    #[error("not UTF-8")]
    NotUtf8,
    /// A decoded segment contains a slash, a backslash, a percent sign, or a semicolon that was encoded. Software behind
    /// the gateway could take it for a delimiter.
    #[error("contains {0:?} within a segment, which other software may take for a delimiter")]
    Delimiter(char),
    /// A decoded segment contains a control character.
    #[error("contains a control character")]
    Control,
    /// A segment other than the last one is empty: `//`.
    #[error("contains an empty segment")]
    Empty,
    /// A decoded segment is `.` or `..`.
    #[error("contains a dot segment")]
    Dot,
}

impl CanonicalPath {
    /// Parses the path of a request.
    ///
    /// # Errors
    /// See [`PathFault`].
    pub fn parse(raw: &str) -> Result<Self, PathFault> {
        Self::parse_by(raw, decode)
    }

    /// Like [`Self::parse`], but keeps encoded slashes: both forms have `%2F` for them. No other decoded segment has a
    /// percent sign, so the decoded form still has one reading only.
    ///
    /// # Errors
    /// See [`PathFault`].
    pub fn parse_with_slashes(raw: &str) -> Result<Self, PathFault> {
        Self::parse_by(raw, |segment| {
            // Each part must be one that a segment may be, since it is one to software that decodes the slash.
            let parts = split_encoded_slashes(segment);
            if parts.len() > 1 && parts.contains(&"") {
                return Err(PathFault::Empty);
            }
            Ok(parts.into_iter().map(decode).collect::<Result<Vec<_>, _>>()?.join("%2F"))
        })
    }

    fn parse_by(raw: &str, decode: impl Fn(&str) -> Result<String, PathFault>) -> Result<Self, PathFault> {
        let mut rest = raw.strip_prefix('/').ok_or(PathFault::NotAbsolute)?.split('/').peekable();
        let (mut decoded, mut encoded) = (String::with_capacity(raw.len()), String::with_capacity(raw.len()));
        while let Some(segment) = rest.next() {
            let value = decode(segment)?;
            if value.is_empty() && rest.peek().is_some() {
                return Err(PathFault::Empty);
            }
            decoded.push('/');
            decoded.push_str(&value);
            encoded.push('/');
            for (index, part) in value.split("%2F").enumerate() {
                encoded.push_str(if index == 0 { "" } else { "%2F" });
                encoded.extend(percent::segment(part));
            }
        }
        Ok(Self { decoded, encoded })
    }

    /// Returns the path with decoded segments. None of them contains a slash, so it has one reading only.
    pub fn decoded(&self) -> &str {
        &self.decoded
    }

    /// Returns the path as a URL has it: in ASCII, with upper-case hexadecimal digits.
    pub fn encoded(&self) -> &str {
        &self.encoded
    }
}

fn split_encoded_slashes(segment: &str) -> Vec<&str> {
    segment.split("%2F").flat_map(|part| part.split("%2f")).collect()
}

/// Decodes one segment. The value may be empty.
///
/// # Errors
/// See [`PathFault`].
pub fn decode(segment: &str) -> Result<String, PathFault> {
    let mut signs = segment.split('%');
    signs.next();
    if signs.any(|behind| !behind.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))) {
        return Err(PathFault::Encoding);
    }
    let value = percent_decode_str(segment).decode_utf8().map_err(|_| PathFault::NotUtf8)?.into_owned();
    if let Some(delimiter) = value.chars().find(|c| matches!(c, '/' | '\\' | '%')) {
        return Err(PathFault::Delimiter(delimiter));
    }
    // An encoded ";" is not a delimiter, but a plain one may be (RFC 3986, 3.3). Decoding must not turn one into the other.
    if value.matches(';').count() != segment.matches(';').count() {
        return Err(PathFault::Delimiter(';'));
    }
    if value.chars().any(char::is_control) {
        return Err(PathFault::Control);
    }
    if value == "." || value == ".." {
        return Err(PathFault::Dot);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(raw: &str) -> Result<String, PathFault> {
        CanonicalPath::parse(raw).map(|path| path.encoded)
    }

    #[test]
    fn all_spellings_of_a_path_have_one_form() {
        for (spelling, one) in [
            ("/prices/%45UR", "/prices/EUR"),
            ("/%7euser", "/~user"),
            ("/a%3ab", "/a:b"),
            ("/a%3Ab", "/a:b"),
            ("/%2C%40%3a%21%2B%24%27%28%29%3d", "/,@:!+$'()="),
            ("/z%c3%bcrich", "/z%C3%BCrich"),
            ("/zürich", "/z%C3%BCrich"),
            ("/%E2%82%AC/", "/%E2%82%AC/"),
            ("/a+b%20c", "/a+b%20c"),
            ("/", "/"),
        ] {
            assert_eq!(encoded(spelling).as_deref(), Ok(one), "{spelling}");
        }
        assert_eq!(CanonicalPath::parse("/z%c3%bcrich/a%3ab").unwrap().decoded(), "/zürich/a:b");
    }

    #[test]
    fn a_slash_at_the_end_is_an_empty_segment() {
        assert_eq!(encoded("/a/").as_deref(), Ok("/a/"));
        assert_ne!(CanonicalPath::parse("/a/"), CanonicalPath::parse("/a"));
    }

    #[test]
    fn paths_with_more_than_one_reading_are_refused() {
        for (bad, fault) in [
            ("", PathFault::NotAbsolute),
            ("a", PathFault::NotAbsolute),
            ("*", PathFault::NotAbsolute),
            ("//a", PathFault::Empty),
            ("/a//", PathFault::Empty),
            ("/a/../b", PathFault::Dot),
            ("/./a", PathFault::Dot),
            ("/%2e%2E/a", PathFault::Dot),
            ("/a%2Fb", PathFault::Delimiter('/')),
            ("/a%5cb", PathFault::Delimiter('\\')),
            ("/a\\b", PathFault::Delimiter('\\')),
            ("/%252e", PathFault::Delimiter('%')),
            ("/a%3Bb", PathFault::Delimiter(';')),
            ("/a;b%3bc", PathFault::Delimiter(';')),
            ("/a%00", PathFault::Control),
            ("/a%0a", PathFault::Control),
            ("/a%7F", PathFault::Control),
            ("/a%C2%85", PathFault::Control),
            ("/a%", PathFault::Encoding),
            ("/a%4", PathFault::Encoding),
            ("/a%4%41", PathFault::Encoding),
            ("/a%+4", PathFault::Encoding),
            ("/a%ü", PathFault::Encoding),
            ("/%FC", PathFault::NotUtf8),
            ("/%C0%AF", PathFault::NotUtf8),
            ("/%E0%80%AF", PathFault::NotUtf8),
            ("/%ED%A0%80", PathFault::NotUtf8),
            ("/%C3", PathFault::NotUtf8),
        ] {
            assert_eq!(encoded(bad), Err(fault), "{bad}");
        }
    }

    /// Generates a segment and a spelling of it: each character as it is, or with its bytes encoded.
    fn spelling() -> impl Strategy<Value = (String, String)> {
        let character = prop_oneof![any::<char>(), prop::char::range(' ', '~')];
        prop::collection::vec((character, any::<bool>(), any::<bool>()), 1..20).prop_map(|characters| {
            let (mut value, mut spelt) = (String::new(), String::new());
            for (c, is_encoded, is_upper) in characters {
                value.push(c);
                if !is_encoded && !matches!(c, '%' | '/') {
                    spelt.push(c);
                    continue;
                }
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    spelt.push_str(&if is_upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") });
                }
            }
            (value, spelt)
        })
    }

    proptest! {
        #[test]
        fn every_spelling_of_a_segment_has_the_same_form_or_is_refused(
            (value, first) in spelling(), is_last in any::<bool>(),
        ) {
            let end = if is_last { "" } else { "/" };
            if let Ok(path) = CanonicalPath::parse(&format!("/{first}{end}")) {
                prop_assert_eq!(path.decoded(), format!("/{value}{end}"));
                // The encoded form is its own canonical form, in ASCII, and has no delimiters but its slashes.
                prop_assert_eq!(CanonicalPath::parse(path.encoded()), Ok(path.clone()));
                prop_assert!(path.encoded().bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\\"".contains(&byte)));
                prop_assert_eq!(path.encoded().matches('/').count(), if is_last { 1 } else { 2 });
                // It decodes to the value.
                let read = percent_decode_str(path.encoded()).decode_utf8().unwrap();
                prop_assert_eq!(read, path.decoded());
                // Encoding every byte is another spelling, unless it is refused.
                let all: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
                if let Ok(other) = CanonicalPath::parse(&format!("/{all}{end}")) {
                    prop_assert_eq!(other, path);
                }
            }
        }

        #[test]
        fn the_canonical_form_of_any_text_is_stable(raw in "[/%.;\\\\?#a-c0-9A-F\u{80}-\u{ff}]{0,40}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                prop_assert_eq!(CanonicalPath::parse(path.encoded()), Ok(path));
            }
        }
    }
}
