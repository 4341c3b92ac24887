//! Values that must differ from each other, such as the entries of a list.
//!
//! A duplicate is noted at its own location, with the key of the first one. Does not know what the values mean.

use super::value::Value;

/// What has been given so far, and the key of each.
pub(crate) struct Distinct<T>(Vec<(T, String)>);

impl<T: PartialEq> Distinct<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds what `value` means. `false`: an earlier value means the same, which is noted.
    pub(crate) fn insert(&mut self, value: &Value<'_>, meaning: T) -> bool {
        if let Some((_, first)) = self.0.iter().find(|(known, _)| *known == meaning) {
            value.report(format!("duplicate of {first}"));
            return false;
        }
        self.0.push((meaning, value.location.key.clone()));
        true
    }
}
