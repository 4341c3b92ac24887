use http::HeaderValue;

use super::*;

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
    }
    headers
}

fn everywhere() -> Vec<TokenSource> {
    vec![TokenSource::Header, TokenSource::Cookie("session".into()), TokenSource::Query("access_token".into())]
}

const MALFORMED: Denied = Denied::Invalid(TokenFault::Malformed);

#[test]
fn the_scheme_is_compared_without_case_and_the_rest_is_the_token() {
    for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c"] {
        let found = find(&everywhere(), &headers(&[("authorization", value)]), None).expect(value);
        assert_eq!((found.reveal(), found.from()), ("a.b.c", &TokenSource::Header));
    }
}

#[test]
fn odd_forms_of_the_header_are_invalid_and_other_schemes_are_no_token() {
    for value in
        ["Bearer", "Bearer ", "Bearer\ta.b.c", "Bearer a.b.c d", "Bearer a,b", "Bearer=a", "Bearer \"a\"", "", " "]
    {
        assert_eq!(find(&everywhere(), &headers(&[("authorization", value)]), None), Err(MALFORMED), "{value:?}");
    }
    let twice = headers(&[("authorization", "Bearer a.b.c"), ("authorization", "Bearer a.b.c")]);
    assert_eq!(find(&everywhere(), &twice, None), Err(MALFORMED));
    for value in ["Basic dTpw", "BearerX a.b.c", "Digest a", "Bearer-a b"] {
        assert_eq!(find(&everywhere(), &headers(&[("authorization", value)]), None), Err(Denied::Missing), "{value:?}");
    }
}

#[test]
fn a_cookie_is_found_in_any_field_by_its_exact_name() {
    let split = headers(&[("cookie", "a=1; Session=x"), ("cookie", "xsession=2; session=\"a.b.c\"; b")]);
    let found = find(&everywhere(), &split, None).expect("a token");
    assert_eq!((found.reveal(), found.from()), ("a.b.c", &TokenSource::Cookie("session".into())));

    let twice = headers(&[("cookie", "session=a; b=c"), ("cookie", "session=a")]);
    assert_eq!(find(&everywhere(), &twice, None), Err(Denied::Ambiguous));
    assert_eq!(find(&everywhere(), &headers(&[("cookie", "session=; a=b")]), None), Err(Denied::Missing));
    assert_eq!(find(&everywhere(), &headers(&[("cookie", "session=a b")]), None), Err(MALFORMED));
}

#[test]
fn a_query_parameter_is_decoded_and_counted_by_its_decoded_name() {
    let none = HeaderMap::new();
    let found = find(&everywhere(), &none, Some("x=1&access%5Ftoken=a%2Eb.c&y")).expect("a token");
    assert_eq!((found.reveal(), found.from()), ("a.b.c", &TokenSource::Query("access_token".into())));

    assert_eq!(find(&everywhere(), &none, Some("access_token=a&access%5ftoken=a")), Err(Denied::Ambiguous));
    assert_eq!(find(&everywhere(), &none, Some("access_token=")), Err(MALFORMED));
    assert_eq!(find(&everywhere(), &none, Some("access_token=a%00b")), Err(MALFORMED));
    assert_eq!(find(&everywhere(), &none, Some("ACCESS_TOKEN=a")), Err(Denied::Missing));
}

#[test]
fn two_methods_at_once_are_ambiguous_but_only_where_both_are_configured() {
    let both = headers(&[("authorization", "Bearer a.b.c"), ("cookie", "session=a.b.c")]);

    assert_eq!(find(&everywhere(), &both, None), Err(Denied::Ambiguous));
    let header_only = find(&[TokenSource::Header], &both, Some("access_token=x")).expect("a token");
    assert_eq!(header_only.from(), &TokenSource::Header);
    let cookie_only = find(&[TokenSource::Cookie("session".into())], &both, None).expect("a token");
    assert_eq!(cookie_only.from(), &TokenSource::Cookie("session".into()));
    assert_eq!(find(&[TokenSource::Header], &HeaderMap::new(), Some("access_token=x")), Err(Denied::Missing));
}

#[test]
fn a_token_that_is_too_long_is_refused_and_none_is_ever_printed() {
    let long = "a".repeat(MAX_TOKEN + 1);
    let bearer = format!("Bearer {long}");
    assert_eq!(find(&everywhere(), &headers(&[("authorization", &bearer)]), None), Err(MALFORMED));

    assert!(!format!("{:?}", Found::new("a.b.c", TokenSource::Header)).contains("a.b.c"));
}
