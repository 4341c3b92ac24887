//! Duplicate detection for values that must differ, such as the entries of a list.
//!
//! A duplicate is reported at its own location and names the key of the first occurrence.

use super::value::Value;

/// The values seen so far, each with its key.
pub(crate) struct Distinct<T>(Vec<(T, String)>);

impl<T: PartialEq> Distinct<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds the parsed form of `value`. Reports a duplicate and returns `false` if an earlier value is equal.
    pub(crate) fn insert<V>(&mut self, value: &Value<'_, V>, parsed: T) -> bool {
        if let Some((_, first)) = self.0.iter().find(|(known, _)| *known == parsed) {
            value.report(format!("duplicate of {first}"));
            return false;
        }
        self.0.push((parsed, value.location.key.clone()));
        true
    }
}
