//! What besides the path makes two clients different streams: parts of a request or a token that the route shares.
//!
//! Every value is bounded and validated before it becomes part of a key or of an upstream request. An absent value is
//! left out of both.

use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::query::Query;
use crate::auth::{ClaimPath, Grant};
use crate::http::response::rejection::Rejection;
use crate::route::{ShareSettings, percent};

/// The shared values of one request, for the key and for the upstream.
#[derive(Debug, Default)]
pub struct SharedValues {
    /// Name and value, in the route's order, and within one name in the request's. A header's name ends with a colon, which no query parameter's holds: else
    /// a parameter could stand for the header of the same name, and for the claim that goes into it.
    pub key: Vec<(String, String)>,
    /// What is put behind the upstream's query.
    pub query: String,
    /// What is sent upstream.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How many bytes of values there may still be.
    room: usize,
    /// How many there may be in all.
    max: usize,
}

/// Takes the values from a request and its grant, `max` bytes of them together.
///
/// # Errors
/// 431 for more, 400 for a value that holds control characters or what a header cannot.
pub fn values(
    share: &ShareSettings,
    head: &Parts,
    query: &Query,
    grant: Option<&Grant>,
    max: usize,
) -> Result<SharedValues, Rejection> {
    let mut shared = SharedValues { room: max, max, ..SharedValues::default() };
    for (name, value) in query_parameters(share, query)? {
        shared.add_parameter(name, value)?;
    }
    for name in &share.headers {
        let mut given = head.headers.get_all(name).iter();
        let Some(value) = given.next() else { continue };
        if given.next().is_some() {
            return Err(Rejection::malformed(format!("Duplicate header {name}, which is part of the stream's key.")));
        }
        let value =
            value.to_str().map_err(|_| Rejection::malformed(format!("Invalid header {name}: not visible ASCII.")))?;
        shared.add_header(name, value.to_owned())?;
    }
    for (name, claim) in &share.claims {
        let value = ClaimPath::parse(claim).ok().and_then(|path| grant?.claim(&path));
        if let Some(value) = value {
            shared.add_header(name, value)?;
        }
        // Without it only where the route does not enforce its rules: one of them is that the claim is there.
    }
    Ok(shared)
}

/// Takes the shared parameters from a query: names and decoded values, in the route's order, and within one name in the
/// query's.
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
    fn add_parameter(&mut self, name: String, value: String) -> Result<(), Rejection> {
        self.admit(&value)?;
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.extend(percent::query(&name));
        self.query.push('=');
        self.query.extend(percent::query(&value));
        self.key.push((name, value));
        Ok(())
    }

    fn add_header(&mut self, name: &HeaderName, value: String) -> Result<(), Rejection> {
        self.admit(&value)?;
        let header = HeaderValue::from_str(&value).map_err(|_| {
            Rejection::malformed(format!("Invalid value for the upstream header {name}: not visible ASCII."))
        })?;
        self.headers.push((name.clone(), header));
        self.key.push((format!("{name}:"), value));
        Ok(())
    }

    fn admit(&mut self, value: &str) -> Result<(), Rejection> {
        if value.chars().any(char::is_control) {
            return Err(Rejection::malformed("Invalid shared value: contains a control character."));
        }
        self.room = self.room.checked_sub(value.len()).ok_or(Rejection::SharedTooLong { max: self.max })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn shared_query(share: &ShareSettings, query: &str) -> Result<SharedValues, Rejection> {
        values(share, &Request::new(()).into_parts().0, &Query::parse(query), None, 100)
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
            values(&share, &head, &Query::parse(head.uri.query().unwrap_or_default()), None, 100).expect("values")
        };

        let by_query = shared(Request::get("/a?x-tenant=acme"));
        let by_header = shared(Request::get("/a").header("x-tenant", "acme"));

        assert_eq!((by_query.query.as_str(), by_query.headers.len()), ("x-tenant=acme", 0));
        assert_eq!((by_header.query.as_str(), by_header.headers.len()), ("", 1));
        assert_ne!(by_query.key, by_header.key);
    }

    #[test]
    fn every_value_of_a_repeated_name_is_shared_in_order() {
        let shared = |query: &str| shared_query(&topics(), query).expect("values");

        let both = shared("x[]=3&topic=a+b&other=1&t%6Fpic=%2Fc%26d&&topic&topic=");

        assert_eq!(both.query, "topic=a%20b&topic=%2Fc%26d&topic=&topic=&x%5B%5D=3");
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
        fn what_goes_upstream_reads_as_the_key_says(given in prop::collection::vec("[ -~\u{e0}-\u{ff}]{0,12}", 0..4)) {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            given.iter().for_each(|value| { query.append_pair("topic", value); });

            let shared = shared_query(&topics(), &query.finish()).expect("values");

            let read: Vec<_> = url::form_urlencoded::parse(shared.query.as_bytes()).into_owned().collect();
            prop_assert_eq!(&read, &shared.key);
            prop_assert_eq!(read.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), given);
        }
    }
}
