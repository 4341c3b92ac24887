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

fn tokens(found: &PresentedTokens) -> Vec<&str> {
    found.reveal().collect()
}

const MALFORMED: Denied = Denied::Invalid(TokenFault::Malformed);

#[test]
fn the_scheme_is_case_insensitive_and_the_rest_is_the_token() {
    for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c"] {
        let found = find(&everywhere(), &headers(&[("authorization", value)]), None).expect(value);
        assert_eq!((tokens(&found), found.source()), (vec!["a.b.c"], &TokenSource::Header));
    }
}

#[test]
fn a_malformed_header_is_invalid_and_another_scheme_counts_as_absent() {
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
    assert_eq!((tokens(&found), found.source()), (vec!["a.b.c"], &TokenSource::Cookie("session".into())));

    assert_eq!(find(&everywhere(), &headers(&[("cookie", "session=; a=b")]), None), Err(Denied::Missing));
    assert_eq!(find(&everywhere(), &headers(&[("cookie", "session=a b")]), None), Err(MALFORMED));
}

#[test]
fn a_query_parameter_is_decoded_and_counted_by_its_decoded_name() {
    let none = HeaderMap::new();
    let found = find(&everywhere(), &none, Some("x=1&access%5Ftoken=a%2Eb.c&y")).expect("a token");
    assert_eq!((tokens(&found), found.source()), (vec!["a.b.c"], &TokenSource::Query("access_token".into())));

    assert_eq!(find(&everywhere(), &none, Some("access_token=a&access%5ftoken=a")), Err(Denied::Ambiguous));
    assert_eq!(find(&everywhere(), &none, Some("access_token=")), Err(MALFORMED));
    assert_eq!(find(&everywhere(), &none, Some("access_token=a%00b")), Err(MALFORMED));
    assert_eq!(find(&everywhere(), &none, Some("ACCESS_TOKEN=a")), Err(Denied::Missing));
}

#[test]
fn tokens_in_two_configured_places_are_ambiguous() {
    let both = headers(&[("authorization", "Bearer a.b.c"), ("cookie", "session=a.b.c")]);

    assert_eq!(find(&everywhere(), &both, None), Err(Denied::Ambiguous));
    let header_only = find(&[TokenSource::Header], &both, Some("access_token=x")).expect("a token");
    assert_eq!(header_only.source(), &TokenSource::Header);
    let cookie_only = find(&[TokenSource::Cookie("session".into())], &both, None).expect("a token");
    assert_eq!(cookie_only.source(), &TokenSource::Cookie("session".into()));
    assert_eq!(find(&[TokenSource::Header], &HeaderMap::new(), Some("access_token=x")), Err(Denied::Missing));
}

#[test]
fn cookies_with_one_name_are_all_returned_once_each_and_in_order() {
    let several =
        headers(&[("cookie", "session=a; b=c; session=s%3Aabc"), ("cookie", "session=; session=b; session=a")]);
    let found = find(&everywhere(), &several, None).expect("tokens");
    assert_eq!((tokens(&found), found.source()), (vec!["a", "b"], &TokenSource::Cookie("session".into())));

    assert_eq!(find(&everywhere(), &headers(&[("cookie", "session=; session=a b")]), None), Err(MALFORMED));
    assert_eq!(find(&everywhere(), &headers(&[("cookie", "session=; session=\"\"")]), None), Err(Denied::Missing));
}

#[test]
fn a_field_set_by_a_proxy_overrides_all_other_sources() {
    let places = [everywhere(), vec![TokenSource::Field("x-jwt".into())]].concat();
    let other = [("authorization", "Bearer x.y.z"), ("cookie", "session=x.y.z")];
    for value in ["a.b.c", "Bearer a.b.c", "bearer  a.b.c"] {
        let found = find(&places, &headers(&[&other[..], &[("x-jwt", value)]].concat()), Some("access_token=x"));
        let found = found.expect(value);
        assert_eq!((tokens(&found), found.source()), (vec!["a.b.c"], &TokenSource::Field("x-jwt".into())));
    }
    for value in ["", " ", "Bearer ", "Basic dTpw", "Bearer a b", "a.b.c,d.e.f", "\"a.b.c\""] {
        let all = headers(&[&other[..], &[("x-jwt", value)]].concat());
        assert_eq!(find(&places, &all, None), Err(MALFORMED), "{value:?}");
    }
    let twice = headers(&[("x-jwt", "a.b.c"), ("x-jwt", "a.b.c")]);
    assert_eq!(find(&places, &twice, None), Err(MALFORMED));
    let two = [TokenSource::Field("x-jwt".into()), TokenSource::Field("y-jwt".into())];
    assert_eq!(find(&two, &headers(&[("x-jwt", "a.b.c"), ("y-jwt", "a.b.c")]), None), Err(Denied::Ambiguous));
    let found = find(&places, &headers(&other[..1]), None).expect("a token");
    assert_eq!(found.source(), &TokenSource::Header);
    assert_eq!(find(&two, &headers(&other), None), Err(Denied::Missing));
}

#[test]
fn debug_output_hides_the_token() {
    assert!(!format!("{:?}", PresentedTokens::new("a.b.c", TokenSource::Header)).contains("a.b.c"));
}
