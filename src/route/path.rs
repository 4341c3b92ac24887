//! The canonical form of a request's path.
//!
//! Each segment is decoded once and encoded again in one form, so that two spellings of one path cannot be two things
//! (RFC 3986, 6.2.2). The decoded form is what routes match, what captures hold and what a token must cover; the encoded
//! form is what stream keys, logs and URLs show. A slash at the end is an empty last segment, compared like any other.
//! Pure. Does not know routes.

use percent_encoding::percent_decode_str;

use super::percent;

/// The path of a request, in its one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath {
    decoded: String,
    encoded: String,
}

/// Why a path has no canonical form. Each reads on after "the path is refused: ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It is no path from the root, such as the `*` of `OPTIONS *`.
    #[error("it does not start with \"/\"")]
    NotAbsolute,
    /// `%`, `%4` or `%zz`.
    #[error("it has a \"%\" without two hexadecimal digits")]
    Encoding,
    /// Overlong forms and surrogates included.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// Slashes, backslashes, percent signs, encoded semicolons: others read on where we have decoded.
    #[error("it holds {0:?} within a segment, which others may read as a delimiter")]
    Delimiter(char),
    /// A control character, however it is written.
    #[error("it holds a control character")]
    Control,
    /// `//`, anywhere but at the end of the last segment.
    #[error("it has an empty segment before its end")]
    Empty,
    /// `.` or `..`, however it is written.
    #[error("it has a dot segment")]
    Dot,
}

impl CanonicalPath {
    /// Reads the path of a request.
    ///
    /// # Errors
    /// See [`PathFault`].
    pub fn parse(raw: &str) -> Result<Self, PathFault> {
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
            encoded.extend(percent::segment(&value));
        }
        Ok(Self { decoded, encoded })
    }

    /// With its segments decoded. None of them holds a slash, so this too has one reading.
    pub fn decoded(&self) -> &str {
        &self.decoded
    }

    /// As a URL has it: in ASCII, with upper-case hexadecimal digits.
    pub fn encoded(&self) -> &str {
        &self.encoded
    }
}

/// The value of one segment, which may be empty.
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
    // With an encoded one a segment would say something else to those who give ";" a meaning (RFC 3986, 3.3).
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
    fn spellings_of_one_path_become_one() {
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
    fn a_slash_at_the_end_is_a_segment_of_its_own() {
        assert_eq!(encoded("/a/").as_deref(), Ok("/a/"));
        assert_ne!(CanonicalPath::parse("/a/"), CanonicalPath::parse("/a"));
    }

    #[test]
    fn what_has_more_than_one_reading_is_refused() {
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

    /// A segment as some client might spell it: characters as they are, or some of their bytes encoded.
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
        fn every_spelling_of_a_segment_is_its_value_in_one_form_or_refused(
            (value, first) in spelling(), is_last in any::<bool>(),
        ) {
            let end = if is_last { "" } else { "/" };
            if let Ok(path) = CanonicalPath::parse(&format!("/{first}{end}")) {
                prop_assert_eq!(path.decoded(), format!("/{value}{end}"));
                // One form: it is its own, and pure ASCII of which nothing but its own slashes delimits.
                prop_assert_eq!(CanonicalPath::parse(path.encoded()), Ok(path.clone()));
                prop_assert!(path.encoded().bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\\"".contains(&byte)));
                prop_assert_eq!(path.encoded().matches('/').count(), if is_last { 1 } else { 2 });
                // Whoever decodes it has the value and nothing beyond.
                let read = percent_decode_str(path.encoded()).decode_utf8().unwrap();
                prop_assert_eq!(read, path.decoded());
                // Every byte encoded is one more spelling of it, unless that is refused.
                let all: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
                if let Ok(other) = CanonicalPath::parse(&format!("/{all}{end}")) {
                    prop_assert_eq!(other, path);
                }
            }
        }

        #[test]
        fn any_text_is_a_path_or_none(raw in "[/%.;\\\\?#a-c0-9A-F\u{80}-\u{ff}]{0,40}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                prop_assert_eq!(CanonicalPath::parse(path.encoded()), Ok(path));
            }
        }
    }
}
