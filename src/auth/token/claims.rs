//! The claims of a token and paths to them.
//!
//! A [`ClaimPath`] is read in the same way wherever the configuration names a claim. The `Debug` form of claims is
//! `[redacted]`, because they are personal data. Decides nothing.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

/// The members of a token's payload.
#[derive(Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

/// The path to a claim: `scope`, `realm_access.roles`, `/a~1b/c` (RFC 6901) or `https://example.com/roles`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath {
    text: String,
    steps: Vec<String>,
}

/// The reason why the name of a claim is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimPathError {
    /// The name, or a part between two dots, is empty.
    #[error("the claim's name, or a part of it, is empty")]
    Empty,
    /// A `~` is followed by neither `0` nor `1` (RFC 6901, 3).
    #[error("in a JSON pointer, \"~\" must be written as \"~0\" and \"/\" within a name as \"~1\"")]
    Escape,
    /// The path has more than eight steps.
    #[error("the path to a claim can have at most 8 steps")]
    Deep,
}

/// Maximum number of steps in a path.
pub(crate) const MAX_STEPS: usize = 8;

impl ClaimPath {
    /// Parses the name of a claim. A leading `/` makes it a JSON pointer; a name with `://` is a single step; otherwise
    /// dots separate steps.
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

    /// Returns the member of `claims` at this path.
    pub(in crate::auth) fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let (first, rest) = self.steps.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, step| value.as_object()?.get(step))
    }

    /// Returns the path as it was written.
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
    /// Wraps the members of a strictly parsed object.
    pub fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// Returns all members.
    pub(in crate::auth) fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Returns the top-level claim with this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns the claim at `path`. Descends into objects only: the elements of an array have no names.
    pub fn at(&self, path: &ClaimPath) -> Option<&Value> {
        path.find(&self.0)
    }

    /// Returns the claim at `path` as text if it is a string, a number or a boolean.
    pub fn text(&self, path: &ClaimPath) -> Option<Cow<'_, str>> {
        text(self.at(path)?)
    }

    /// Returns the texts in the claim at `path`: the claim itself, or its elements if it is an array.
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
    /// Only a single string is split at spaces (RFC 8693, 4.2); an element of a list is one value. A wanted string is
    /// compared with the text of a number or boolean. A wanted number or boolean equals only a value of its own type.
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
    fn a_name_is_a_pointer_a_url_or_separated_by_dots() {
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
    fn an_invalid_name_is_refused() {
        for bad in ["", "a..b", ".a", "a.", "/", "/a//b"] {
            assert_eq!(ClaimPath::parse(bad), Err(ClaimPathError::Empty), "{bad:?}");
        }
        for bad in ["/a~b", "/a~", "/~2"] {
            assert_eq!(ClaimPath::parse(bad), Err(ClaimPathError::Escape), "{bad:?}");
        }
        assert_eq!(ClaimPath::parse("a.a.a.a.a.a.a.a.a"), Err(ClaimPathError::Deep));
    }

    #[test]
    fn a_claim_has_a_value_that_it_equals_lists_or_contains_as_a_word() {
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
    fn a_number_or_boolean_equals_only_its_own_type() {
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
