//! What besides the path makes two clients different streams: parts of a request or a token that the route shares.
//!
//! Every value is bounded and validated before it becomes part of a key or of an upstream request. An absent value is
//! left out of both.

use http::request::Parts;
use http::{HeaderName, HeaderValue};
use url::form_urlencoded;

use super::rejection::Rejection;
use super::target::parameter;
use crate::auth::{ClaimPath, Grant};
use crate::route::Share;

/// Longest shared value.
const VALUE_BYTES: usize = 256;

/// The shared values of one request, for the key and for the upstream.
#[derive(Debug, Default)]
pub struct Shared {
    /// Name and value, in the route's order. A header's name ends with a colon, which no query parameter's holds: else
    /// a parameter could stand for the header of the same name, and for the claim that goes into it.
    pub key: Vec<(String, String)>,
    /// The upstream's query with its question mark, or nothing.
    pub query: String,
    /// What is sent upstream.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Takes the values from a request and its grant.
///
/// # Errors
/// 400 for a value that is too long or holds what a header cannot.
pub fn values(share: &Share, head: &Parts, grant: Option<&Grant>) -> Result<Shared, Rejection> {
    let mut shared = Shared::default();
    let mut query = form_urlencoded::Serializer::new(String::new());
    for name in &share.query {
        if let Some(value) = parameter(head, name)? {
            let value = bounded(value)?;
            query.append_pair(name, &value);
            shared.key.push((name.clone(), value));
        }
    }
    let query = query.finish();
    if !query.is_empty() {
        shared.query = format!("?{query}");
    }
    for name in &share.headers {
        let mut given = head.headers.get_all(name).iter();
        let Some(value) = given.next() else { continue };
        if given.next().is_some() {
            return Err(Rejection::Malformed("A shared header stands there twice."));
        }
        let value = value.to_str().map_err(|_| Rejection::Malformed("A shared header is not visible ASCII."))?;
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

impl Shared {
    fn add_header(&mut self, name: &HeaderName, value: String) -> Result<(), Rejection> {
        let value = bounded(value)?;
        let header = HeaderValue::from_str(&value)
            .map_err(|_| Rejection::Malformed("A shared value cannot be sent in a header."))?;
        self.headers.push((name.clone(), header));
        self.key.push((format!("{name}:"), value));
        Ok(())
    }
}

fn bounded(value: String) -> Result<String, Rejection> {
    if value.len() > VALUE_BYTES || value.chars().any(char::is_control) {
        return Err(Rejection::Malformed("A shared value is too long or holds control characters."));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_parameter_never_stands_for_a_header_of_the_same_name() {
        let share = Share {
            query: vec!["x-tenant".to_owned()],
            headers: vec![HeaderName::from_static("x-tenant")],
            ..Share::default()
        };
        let shared = |request: http::request::Builder| {
            values(&share, &request.body(()).expect("a request").into_parts().0, None).expect("values")
        };

        let by_query = shared(Request::get("/a?x-tenant=acme"));
        let by_header = shared(Request::get("/a").header("x-tenant", "acme"));

        assert_eq!((by_query.query.as_str(), by_query.headers.len()), ("?x-tenant=acme", 0));
        assert_eq!((by_header.query.as_str(), by_header.headers.len()), ("", 1));
        assert_ne!(by_query.key, by_header.key);
    }
}
