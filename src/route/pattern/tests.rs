use proptest::prelude::*;

use super::*;
use crate::route::path::CanonicalPath;

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).expect("a pattern")
}

#[test]
fn a_capture_matches_one_segment() {
    let prices = pattern("/prices/{symbol}");

    for symbol in ["EUR-USD", "a:b", "a@b.example", "a+b", "zürich", ",@:!+$'()=", "...", "€", "日本"] {
        assert_eq!(prices.matches(&format!("/prices/{symbol}")), Ok(vec![("symbol".into(), symbol.into())]));
    }
    for other in ["/prices", "/prices/", "/prices/a/b", "/prices/a/", "/Prices/a", "prices/a", ""] {
        assert_eq!(prices.matches(other), Err(Mismatch::Other), "{other}");
    }
}

#[test]
fn a_refused_segment_is_named_if_everything_else_matches() {
    let prices = pattern("/prices/{symbol}/{field}");
    let fault = |path: &str| prices.matches(path).expect_err("no match");

    for refused in ['*', ';', '&', ' ', '"', '?', '#', '<', '{', '|', '^', '`', '['] {
        let expected = CaptureFault::Character("symbol".to_owned(), refused);
        assert_eq!(fault(&format!("/prices/a{refused}/b")), Mismatch::Capture(expected));
    }
    assert!(prices.matches(&format!("/prices/{}/b", "x".repeat(CAPTURE_BYTES))).is_ok());
    let long = fault(&format!("/prices/b/{}", "x".repeat(CAPTURE_BYTES + 1)));
    assert_eq!(long, Mismatch::Capture(CaptureFault::Length("field".to_owned())));
    assert_eq!(fault("/prices/*/b/c"), Mismatch::Other);
    assert_eq!(fault("/other/*/b"), Mismatch::Other);
}

#[test]
fn the_rest_of_a_path_may_be_empty_and_has_any_character() {
    let files = pattern("/files/{*rest}");

    for rest in ["", "a", "a/b/", "a;b &c"] {
        assert_eq!(files.matches(&format!("/files/{rest}")), Ok(vec![("rest".into(), rest.into())]), "{rest}");
    }
    for other in ["/files", "/file/a", "/"] {
        assert_eq!(files.matches(other), Err(Mismatch::Other), "{other}");
    }
    assert!(pattern("/{*all}").matches("/").is_ok());
}

#[test]
fn a_loose_match_ignores_case_and_the_last_slash() {
    let admin = pattern("/Admin/{*rest}");

    assert!(["/admin", "/ADMIN/", "/aDmin/x"].into_iter().all(|path| admin.matches_loosely(path)));
    assert!(["/", "/administrator", "/x/admin"].into_iter().all(|path| !admin.matches_loosely(path)));
}

#[test]
fn a_slash_at_the_end_must_match_exactly() {
    let (with, without, root) = (pattern("/events/"), pattern("/events"), pattern("/"));

    assert_eq!((with.matches("/events/"), with.matches("/events")), (Ok(vec![]), Err(Mismatch::Other)));
    assert_eq!((without.matches("/events"), without.matches("/events/")), (Ok(vec![]), Err(Mismatch::Other)));
    assert_eq!((root.matches("/"), root.matches("/events")), (Ok(vec![]), Err(Mismatch::Other)));
    assert!(!with.conflicts_with(&without));
    let captured = pattern("/{topic}/");
    assert_eq!(captured.matches("/a/"), Ok(vec![("topic".into(), "a".into())]));
    assert_eq!((captured.matches("/a"), captured.matches("/")), (Err(Mismatch::Other), Err(Mismatch::Other)));
}

#[test]
fn a_literal_may_be_written_in_any_spelling() {
    for spelling in ["/städte/a:b", "/st%c3%a4dte/a%3Ab", "/%73tädte/a%3ab"] {
        assert_eq!(pattern(spelling).matches("/städte/a:b"), Ok(vec![]), "{spelling}");
        assert!(pattern(spelling).conflicts_with(&pattern("/städte/a:b")), "{spelling}");
    }
}

#[test]
fn invalid_patterns_are_refused() {
    for (bad, error) in [
        ("", PatternError::NotAbsolute),
        ("a", PatternError::NotAbsolute),
        ("//", PatternError::EmptyOrDot(String::new())),
        ("/a//b", PatternError::EmptyOrDot(String::new())),
        ("/..", PatternError::EmptyOrDot("..".into())),
        ("/%2e", PatternError::EmptyOrDot("%2e".into())),
        ("/{}", PatternError::CaptureName(String::new())),
        ("/{a b}", PatternError::CaptureName("a b".into())),
        ("/{*}", PatternError::CaptureName("".into())),
        ("/{*rest}/a", PatternError::RestNotLast("rest".into())),
        ("/a{b}", PatternError::Character('{')),
        ("/<id>", PatternError::Character('<')),
        ("/a?b", PatternError::Character('?')),
        ("/{a}/{a}", PatternError::DuplicateCapture("a".into())),
        ("/a%2fb", PatternError::Path(PathFault::Delimiter('/'))),
        ("/a%", PatternError::Path(PathFault::Encoding)),
        ("/w/*", PatternError::Wildcard("*".into())),
        ("/w/**", PatternError::Wildcard("**".into())),
        ("/w/a*", PatternError::Wildcard("a*".into())),
        ("/w/%2A", PatternError::Wildcard("%2A".into())),
        ("/w/:id", PatternError::Colon(":id".into())),
    ] {
        assert_eq!(PathPattern::parse(bad), Err(error), "{bad}");
    }
    assert!(pattern("/w/%3Aid").matches("/w/:id").is_ok());
}

proptest! {
    #[test]
    fn a_capture_is_its_whole_segment_and_never_a_wildcard(raw in "/[ -~\u{80}-\u{2ff}]{1,30}") {
        let Ok(path) = CanonicalPath::parse(&raw) else { return Ok(()) };
        if let Ok(captures) = pattern("/{name}").matches(path.decoded()) {
            let [(_, value)] = captures.as_slice() else { panic!("one capture: {captures:?}") };
            prop_assert_eq!(format!("/{value}"), path.decoded());
            prop_assert!(!value.is_empty() && value != "." && value != "..");
            prop_assert!(!value.chars().any(|c| "/\\;*%?#&\" ".contains(c) || c.is_control()), "{value:?}");
        }
    }
}
