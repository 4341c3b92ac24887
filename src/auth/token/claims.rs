//! The claims of a token and the way to one of them.
//!
//! A [`ClaimPath`] is read the same way wherever a claim is named. Claims print as `[redacted]`: they are personal data.
//! Does not decide anything.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

/// The members of a token's payload.
#[derive(Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

/// Which claim: `scope`, `realm_access.roles`, `/a~1b/c` (RFC 6901) or `https://example.com/roles`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath {
    text: String,
    steps: Vec<String>,
}

/// A claim's name that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimPathError {
    /// Nothing, or nothing between two dots.
    #[error("a claim's name is empty")]
    Empty,
    /// A `~` that is neither `~0` nor `~1` (RFC 6901, 3).
    #[error("\"~\" in a JSON pointer is written \"~0\", \"/\" within a name \"~1\"")]
    Escape,
    /// More than eight steps.
    #[error("a claim is at most 8 steps deep")]
    Deep,
}

/// Longest way to a claim.
pub const MAX_STEPS: usize = 8;

impl ClaimPath {
    /// Reads a claim's name: a leading `/` makes it a JSON pointer, `://` a single name, else dots descend.
    ///
    /// # Errors
    /// See [`ClaimPathError`].
    pub fn parse(text: &str) -> Result<Self, ClaimPathError> {
        let steps = if let Some(pointer) = text.strip_prefix('/') {
            pointer.split('/').map(unescape).collect::<Result<Vec<_>, _>>()?
        } else if text.contains("://") {
            vec![text.to_owned()]
        } else {
            text.split('.').map(str::to_owned).collect()
        };
        if steps.iter().any(String::is_empty) {
            return Err(ClaimPathError::Empty);
        }
        if steps.len() > MAX_STEPS {
            return Err(ClaimPathError::Deep);
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    /// The member of `claims` that it leads to.
    pub(in crate::auth) fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let (first, rest) = self.steps.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, step| value.as_object()?.get(step))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn unescape(step: &str) -> Result<String, ClaimPathError> {
    let mut parts = step.split('~');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        name.push(match part.bytes().next() {
            Some(b'0') => '~',
            Some(b'1') => '/',
            _ => return Err(ClaimPathError::Escape),
        });
        name.push_str(&part[1..]);
    }
    Ok(name)
}

impl Claims {
    /// The members of an object that has been read strictly.
    pub fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// All of them.
    pub(in crate::auth) fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The top-level claim of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The claim at `path`. Only objects are descended into: an array's elements have no names.
    pub fn at(&self, path: &ClaimPath) -> Option<&Value> {
        path.find(&self.0)
    }

    /// The claim at `path` as one text, if it is a string, a number or a boolean.
    pub fn text(&self, path: &ClaimPath) -> Option<Cow<'_, str>> {
        text(self.at(path)?)
    }

    /// The texts that the claim at `path` lists: itself, or its elements if it is an array.
    pub fn texts(&self, path: &ClaimPath) -> impl Iterator<Item = Cow<'_, str>> {
        let values = match self.at(path) {
            None => &[],
            Some(Value::Array(elements)) => elements.as_slice(),
            Some(value) => std::slice::from_ref(value),
        };
        values.iter().filter_map(text)
    }

    /// Whether the claim at `path` equals `wanted`, lists it, or contains it as a space-separated word.
    ///
    /// Only a single string is split at spaces (RFC 8693, 4.2): an element of a list is one value. A wanted string is
    /// compared with the text of a number or a boolean; a wanted number or boolean is equal only to its like.
    pub fn has(&self, path: &ClaimPath, wanted: &Value) -> bool {
        match (self.at(path), wanted) {
            (None, _) => false,
            (Some(Value::String(string)), Value::String(wanted)) => {
                string == wanted || string.split(' ').any(|word| word == wanted)
            }
            (Some(_), Value::String(wanted)) => self.texts(path).any(|text| text == *wanted),
            (Some(Value::Array(elements)), _) => elements.contains(wanted),
            (Some(value), _) => value == wanted,
        }
    }
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(string) => Some(Cow::Borrowed(string)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        Claims(value.as_object().expect("an object").clone())
    }

    fn path(text: &str) -> ClaimPath {
        ClaimPath::parse(text).expect("a claim path")
    }

    #[test]
    fn a_name_is_a_pointer_a_url_or_a_way_of_dots() {
        let claims = claims(json!({
            "a": { "b": 1, "c.d": 2 }, "a.b": 3, "https://x.example/a.b": 4, "m/n": { "~o": 5 }, "list": [{ "b": 6 }],
        }));

        for (name, value) in [("a.b", 1), ("/a/c.d", 2), ("/a.b", 3), ("https://x.example/a.b", 4), ("/m~1n/~0o", 5)] {
            assert_eq!(claims.at(&path(name)), Some(&json!(value)), "{name}");
        }
        for name in ["b", "a.c.d", "list.b", "list.0", "/list/0", "a.b.c"] {
            assert_eq!(claims.at(&path(name)), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", "a..b", ".a", "a.", "/", "/a//b"] {
            assert_eq!(ClaimPath::parse(bad), Err(ClaimPathError::Empty), "{bad:?}");
        }
        for bad in ["/a~b", "/a~", "/~2"] {
            assert_eq!(ClaimPath::parse(bad), Err(ClaimPathError::Escape), "{bad:?}");
        }
        assert_eq!(ClaimPath::parse("a.a.a.a.a.a.a.a.a"), Err(ClaimPathError::Deep));
    }

    #[test]
    fn a_value_is_equal_listed_or_one_of_several_words() {
        let claims = claims(json!({
            "scope": "prices:read  news:read", "roles": ["reader", "price admin", 7], "n": 7, "yes": true, "no": null,
        }));

        for (name, wanted) in [
            ("scope", "prices:read"),
            ("scope", "news:read"),
            ("roles", "reader"),
            ("roles", "price admin"),
            ("roles", "7"),
            ("n", "7"),
            ("yes", "true"),
        ] {
            assert!(claims.has(&path(name), &json!(wanted)), "{name} {wanted}");
        }
        for (name, wanted) in [
            ("scope", "prices"),
            ("scope", "Prices:read"),
            ("roles", "price"),
            ("roles", "admin"),
            ("n", "70"),
            ("no", "null"),
            ("absent", ""),
        ] {
            assert!(!claims.has(&path(name), &json!(wanted)), "{name} {wanted}");
        }
    }

    #[test]
    fn a_wanted_number_or_boolean_is_equal_to_its_like_alone() {
        let claims = claims(json!({
            "level": 3, "text": "3", "levels": [1, 3], "texts": ["3"], "words": "1 3", "staff": true, "true": "true",
        }));

        for (name, wanted) in [("level", json!(3)), ("levels", json!(3)), ("staff", json!(true))] {
            assert!(claims.has(&path(name), &wanted), "{name} {wanted}");
        }
        for (name, wanted) in [
            ("level", json!(4)),
            ("level", json!(-3)),
            ("text", json!(3)),
            ("texts", json!(3)),
            ("words", json!(3)),
            ("staff", json!(false)),
            ("true", json!(true)),
            ("absent", json!(3)),
        ] {
            assert!(!claims.has(&path(name), &wanted), "{name} {wanted}");
        }
    }
}
