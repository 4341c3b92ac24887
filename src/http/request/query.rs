//! The parameters of a request's query, decoded once (URL standard, application/x-www-form-urlencoded).
//!
//! Names and values are bytes. Each reader decides whether a value must be UTF-8.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::http::response::rejection::Rejection;

/// The parameters in the order of the query.
#[derive(Debug, Default)]
pub struct Query(Vec<(Vec<u8>, Vec<u8>)>);

impl Query {
    /// Decodes a query without its question mark. Empty pairs are left out.
    pub fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decode(name), decode(value))).collect())
    }

    /// Returns every value of `name`, in the order of the query.
    ///
    /// # Errors
    /// 400 for a value that is not UTF-8: a replacement character would not be what the client meant.
    pub fn values(&self, name: &str) -> Result<Vec<String>, Rejection> {
        self.named(name)
            .map(|value| String::from_utf8(value.to_owned()))
            .collect::<Result<_, _>>()
            .map_err(|_| Rejection::malformed(format!("The query parameter {name:?} is not UTF-8.")))
    }

    /// Returns the value of `name`, with replacement characters for bytes that are not UTF-8; `None` if it is absent.
    ///
    /// # Errors
    /// 400 for a duplicate: another reader of the request could use the other value.
    pub fn single(&self, name: &str) -> Result<Option<Cow<'_, str>>, Rejection> {
        let mut values = self.named(name);
        let value = values.next().map(String::from_utf8_lossy);
        match values.next() {
            Some(_) => Err(Rejection::malformed(format!("Duplicate query parameter {name:?}."))),
            None => Ok(value),
        }
    }

    /// Returns the last value of any of these names that is not empty.
    pub fn last_non_empty(&self, names: &[String]) -> Option<&[u8]> {
        let mut pairs = self.0.iter().rev().filter(|(_, value)| !value.is_empty());
        let (_, value) = pairs.find(|(name, _)| names.iter().any(|wanted| wanted.as_bytes() == name))?;
        Some(value)
    }

    /// Whether the client asks for a response that ends by itself: `limit=N` or `follow=false`.
    pub fn is_finite(&self) -> bool {
        self.0.iter().any(|(name, value)| name == b"limit" || (name == b"follow" && value == b"false"))
    }

    /// Returns the raw values of `name`.
    fn named<'q>(&'q self, name: &str) -> impl Iterator<Item = &'q [u8]> {
        self.0.iter().filter(move |(key, _)| key == name.as_bytes()).map(|(_, value)| value.as_slice())
    }
}

/// Decodes `+` and percent-encodings.
fn decode(text: &str) -> Vec<u8> {
    let spaced: Vec<u8> = text.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_parameter_is_refused_by_name() {
        let query = Query::parse("limit=1&x=a+b&li%6Dit=2");

        assert_eq!(query.single("x").unwrap().as_deref(), Some("a b"));
        assert_eq!(query.single("y").unwrap(), None);
        let Err(Rejection::Malformed(detail)) = query.single("limit") else { panic!("accepted") };
        assert_eq!(detail, "Duplicate query parameter \"limit\".");
    }

    #[test]
    fn a_read_with_a_limit_or_without_follow_is_finite() {
        for (query, is_finite) in
            [("limit=1", true), ("a&follow=false", true), ("follow=true", false), ("x=limit", false), ("", false)]
        {
            assert_eq!(Query::parse(query).is_finite(), is_finite, "{query}");
        }
    }
}
