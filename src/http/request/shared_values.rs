//! The shared values of a request: the parameters, header fields and claims that select a stream besides its path.
//!
//! Every value is validated and bounded before it becomes a part of a stream key or of an upstream request. An absent
//! value is in neither.

use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::query::Query;
use crate::auth::{ClaimPath, Grant};
use crate::http::response::rejection::Rejection;
use crate::route::ShareSettings;

/// The shared values of one request, for the stream key and for the upstream. The parameters of the upstream request are
/// those of the key.
#[derive(Debug, Default)]
pub(crate) struct SharedValues {
    /// Names and values in the order of the route, and for one name in the order of the request. The name of a header
    /// field ends with a colon, which the name of a parameter cannot hold. Otherwise a parameter could pass for the header
    /// field of the same name, and for the claim that it carries.
    pub key: Vec<(String, String)>,
    /// The header fields for the upstream.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The bytes of values that may still be added.
    remaining: usize,
    /// The most bytes of all values together.
    max: usize,
}

/// Returns the shared parameters of a query: names and decoded values in the order of the route, and for one name in the
/// order of the query.
///
/// # Errors
/// 400 for a value that is not UTF-8.
pub fn query_parameters(share: &ShareSettings, query: &Query) -> Result<Vec<(String, String)>, Rejection> {
    let mut pairs = Vec::new();
    for name in &share.query {
        pairs.extend(query.values(name)?.into_iter().map(|value| (name.clone(), value)));
    }
    Ok(pairs)
}

impl SharedValues {
    /// Collects the shared values of a request and its grant, at most `max` bytes together.
    ///
    /// # Errors
    /// 431 for more, 400 for a value with control characters or one that a header field cannot carry.
    pub(crate) fn from_head(
        share: &ShareSettings,
        head: &Parts,
        query: &Query,
        grant: Option<&Grant>,
        max: usize,
    ) -> Result<Self, Rejection> {
        let mut shared = Self { remaining: max, max, ..Self::default() };
        for (name, value) in query_parameters(share, query)? {
            shared.add_parameter(name, value)?;
        }
        for name in &share.headers {
            let mut given = head.headers.get_all(name).iter();
            let Some(value) = given.next() else { continue };
            if given.next().is_some() {
                return Err(Rejection::malformed(format!("Duplicate header {name:?}.")));
            }
            let value = value
                .to_str()
                .map_err(|_| Rejection::malformed(format!("Invalid header {name:?}: not visible ASCII.")))?;
            shared.add_header(name, value.to_owned())?;
        }
        for (name, claim) in &share.claims {
            let value = ClaimPath::parse(claim).ok().and_then(|path| grant?.claim(&path));
            // A route that enforces its rules requires the claim. So it is absent only where rules are not enforced.
            if let Some(value) = value {
                shared.add_header(name, value)?;
            }
        }
        Ok(shared)
    }

    fn add_parameter(&mut self, name: String, value: String) -> Result<(), Rejection> {
        self.check(&name, &value)?;
        self.key.push((name, value));
        Ok(())
    }

    fn add_header(&mut self, name: &HeaderName, value: String) -> Result<(), Rejection> {
        self.check(name.as_str(), &value)?;
        let header = HeaderValue::from_str(&value).map_err(|_| {
            Rejection::malformed(format!("Invalid value of {name:?}: a header field can carry only visible ASCII."))
        })?;
        self.headers.push((name.clone(), header));
        self.key.push((format!("{name}:"), value));
        Ok(())
    }

    /// Checks a value and subtracts its length from the bytes that remain.
    fn check(&mut self, name: &str, value: &str) -> Result<(), Rejection> {
        if value.chars().any(char::is_control) {
            return Err(Rejection::malformed(format!("Invalid value of {name:?}: contains a control character.")));
        }
        let remaining = self.remaining.checked_sub(value.len());
        self.remaining = remaining.ok_or(Rejection::SharedTooLong { max: self.max })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::route::percent;
    use crate::stream::StreamKey;

    fn shared_query(share: &ShareSettings, query: &str) -> Result<SharedValues, Rejection> {
        SharedValues::from_head(share, &Request::new(()).into_parts().0, &Query::parse(query), None, 100)
    }

    /// Returns the query of the upstream request.
    fn query_of(shared: &SharedValues) -> String {
        let mut query = String::new();
        for (name, value) in StreamKey::parameters(&shared.key) {
            percent::push_parameter(&mut query, name, value);
        }
        query
    }

    fn topics() -> ShareSettings {
        ShareSettings { query: vec!["topic".to_owned(), "x[]".to_owned()], ..ShareSettings::default() }
    }

    #[test]
    fn a_parameter_never_stands_for_a_header_of_the_same_name() {
        let share = ShareSettings {
            query: vec!["x-tenant".to_owned()],
            headers: vec![HeaderName::from_static("x-tenant")],
            ..ShareSettings::default()
        };
        let shared = |request: http::request::Builder| {
            let head = request.body(()).expect("a request").into_parts().0;
            SharedValues::from_head(&share, &head, &Query::parse(head.uri.query().unwrap_or_default()), None, 100)
                .expect("values")
        };

        let by_query = shared(Request::get("/a?x-tenant=acme"));
        let by_header = shared(Request::get("/a").header("x-tenant", "acme"));

        assert_eq!((query_of(&by_query).as_str(), by_query.headers.len()), ("x-tenant=acme", 0));
        assert_eq!((query_of(&by_header).as_str(), by_header.headers.len()), ("", 1));
        assert_ne!(by_query.key, by_header.key);
    }

    #[test]
    fn every_value_of_a_repeated_name_is_shared_in_order() {
        let shared = |query: &str| shared_query(&topics(), query).expect("values");

        let both = shared("x[]=3&topic=a+b&other=1&t%6Fpic=%2Fc%26d&&topic&topic=");

        assert_eq!(query_of(&both), "topic=a%20b&topic=%2Fc%26d&topic=&topic=&x%5B%5D=3");
        assert_ne!(shared("topic=a&topic=b").key, shared("topic=b&topic=a").key);
        assert_ne!(shared("topic=a&topic=b").key, shared("topic=a%26topic%3Db").key);
        assert_ne!(shared("topic=a").key, shared("topic=a&topic=a").key);
        assert_ne!(shared("topic=").key, shared("").key);
    }

    #[test]
    fn shared_values_are_bounded_together() {
        let halves = |length: usize| format!("topic={}&topic={}", "x".repeat(50), "y".repeat(length));

        assert!(shared_query(&topics(), &halves(50)).is_ok());
        let fault = shared_query(&topics(), &halves(51)).expect_err("too long");
        assert!(matches!(fault, Rejection::SharedTooLong { max: 100 }), "{fault:?}");
        for bad in ["topic=%0a", "topic=a%00", "topic=%FF"] {
            assert!(matches!(shared_query(&topics(), bad), Err(Rejection::Malformed(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_upstream_query_and_the_key_have_the_same_values(given in prop::collection::vec("[ -~\u{e0}-\u{ff}]{0,12}", 0..4)) {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            given.iter().for_each(|value| { query.append_pair("topic", value); });

            let shared = shared_query(&topics(), &query.finish()).expect("values");

            let read: Vec<_> = url::form_urlencoded::parse(query_of(&shared).as_bytes()).into_owned().collect();
            prop_assert_eq!(&read, &shared.key);
            prop_assert_eq!(read.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), given);
        }
    }
}
