//! A value of the file, read as its declared kind.
//!
//! Each method named after a kind returns the checked value. It returns `None` after it has reported the problem. Calling
//! the method of another kind than the declared one is a programming error and panics.

use std::time::Duration;

use toml::de::DeValue;

use super::key::Kind;
use super::problem::{did_you_mean, nearest};
use super::reader::{Location, Reader};
use super::units::{self, Memory};

/// A value in the file and its declared kind.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    pub(crate) reader: &'a Reader<'a>,
    pub(crate) location: Location,
    pub(crate) kind: &'static Kind,
    pub(crate) value: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    /// Reports a problem at this value.
    pub(crate) fn report(&self, message: impl Into<String>) {
        self.reader.report(&self.location, message);
    }

    /// Reports that the value has the wrong type. Returns `None`.
    pub(crate) fn type_mismatch<T>(&self) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.report(format!("expected {}, found {found}", self.kind.expected()));
        None
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.type_mismatch())
    }

    pub(crate) fn integer(&self) -> Option<u64> {
        let Kind::Integer { min, max } = self.kind else { unreachable!("declared as a whole number") };
        let DeValue::Integer(integer) = self.value else { return self.type_mismatch() };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| u64::try_from(number).ok()).filter(|n| (min..=max).contains(&n));
        if number.is_none() {
            self.report(format!("must be between {min} and {max}"));
        }
        number
    }

    /// Parses a value that is written as a string.
    fn parsed<T>(&self, parse: impl Fn(&str) -> Result<T, units::MalformedValue>) -> Option<T> {
        let DeValue::String(text) = self.value else { return self.type_mismatch() };
        parse(text)
            .map_err(|malformed| self.report(format!("{}{}", malformed.message, did_you_mean(malformed.suggestion))))
            .ok()
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        let Kind::Duration { min, max, allows_zero } = self.kind else { unreachable!("declared as a duration") };
        let bound = |text: &str| units::duration(text).expect("declared bounds are valid: a test reads all of them");
        let duration = self.parsed(units::duration)?;
        if (*allows_zero && duration.is_zero()) || (bound(min)..=bound(max)).contains(&duration) {
            return Some(duration);
        }
        let zero = if *allows_zero { "0s, or " } else { "" };
        self.report(format!("must be {zero}between {min} and {max}"));
        None
    }

    pub(crate) fn size(&self) -> Option<u64> {
        let Kind::Size { min, max } = self.kind else { unreachable!("declared as a size") };
        let bound = |text: &str| units::size(text).expect("declared bounds are valid: a test reads all of them");
        let size = self.parsed(units::size)?;
        if (bound(min)..=bound(max)).contains(&size) {
            return Some(size);
        }
        self.report(format!("must be between {min} and {max}"));
        None
    }

    pub(crate) fn memory(&self) -> Option<Memory> {
        /// The gateway itself needs about this much; with less it would refuse every subscription.
        const MIN_MEMORY: u64 = 32 << 20;
        let memory = self.parsed(units::memory)?;
        if matches!(memory, Memory::Bytes(bytes) if bytes < MIN_MEMORY) {
            self.report("must be at least 32MiB");
            return None;
        }
        Some(memory)
    }

    /// Returns a string that is not empty.
    pub(crate) fn string(&self) -> Option<&'a str> {
        let DeValue::String(text) = self.value else { return self.type_mismatch() };
        if text.is_empty() {
            self.report("must not be empty");
            return None;
        }
        Some(text)
    }

    /// Returns a string, a whole number or a boolean.
    pub(crate) fn scalar(&self) -> Option<serde_json::Value> {
        match self.value {
            DeValue::Boolean(flag) => Some((*flag).into()),
            DeValue::Integer(integer) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                if number.is_none() {
                    self.report("number out of range");
                }
                number.map(serde_json::Value::from)
            }
            DeValue::String(_) => self.string().map(serde_json::Value::from),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => self.type_mismatch(),
        }
    }

    /// Returns one of the declared strings.
    pub(crate) fn variant(&self) -> Option<&'static str> {
        let Kind::Enum(choices) = self.kind else { unreachable!("declared as an enum") };
        let DeValue::String(text) = self.value else { return self.type_mismatch() };
        let found = choices.iter().copied().find(|choice| choice == text);
        if found.is_none() {
            let meant = nearest(text, choices.iter().copied());
            self.report(format!("expected {}{}", self.kind.expected(), did_you_mean(meant)));
        }
        found
    }

    /// Returns the items of an array; none if the value is not an array.
    pub(crate) fn items(&self) -> Vec<Value<'a>> {
        let Kind::List(kind) = self.kind else { unreachable!("declared as an array") };
        let DeValue::Array(items) = self.value else { return self.type_mismatch().unwrap_or_default() };
        let location =
            |(index, item): (usize, &toml::Spanned<DeValue<'_>>)| self.location.item(item.span().start, index);
        let values = items.iter().enumerate().map(|(index, item)| (location((index, item)), item.get_ref()));
        values.map(|(location, value)| Value { reader: self.reader, location, kind, value }).collect()
    }

    /// Returns the entries of a table with user-chosen keys, in file order.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Value<'a>)> {
        let Kind::Map(kind) = self.kind else { unreachable!("declared as a map") };
        let DeValue::Table(entries) = self.value else { return self.type_mismatch().unwrap_or_default() };
        let location = |name: &str, offset| self.location.child(offset, name, "*");
        let mut found: Vec<_> = entries
            .iter()
            .map(|(name, value)| {
                let location = location(name.get_ref(), value.span().start);
                let name: &'a str = name.get_ref();
                (name, Value { reader: self.reader, location, kind, value: value.get_ref() })
            })
            .collect();
        // `DeTable` sorts its entries by name.
        found.sort_by_key(|(_, value)| value.location.offset);
        found
    }

    /// Returns the value as the one of its declared kinds that fits its TOML type.
    pub(crate) fn alternative(&self) -> Option<Value<'a>> {
        let Kind::OneOf(kinds) = self.kind else { unreachable!("declared as one of several") };
        match kinds.iter().find(|kind| matches_type(kind, self.value)) {
            Some(kind) => Some(Value { kind, ..self.clone() }),
            None => self.type_mismatch(),
        }
    }

    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }
}

/// Returns true if a value of this TOML type may be of `kind`. Used to choose between the kinds of a [`Kind::OneOf`].
pub(crate) fn matches_type(kind: &Kind, value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Table(_) => matches!(kind, Kind::Table(_)),
        DeValue::Array(_) => matches!(kind, Kind::List(_)),
        DeValue::String(_) => !matches!(kind, Kind::Table(_) | Kind::List(_)),
        DeValue::Integer(_) => matches!(kind, Kind::Integer { .. } | Kind::Scalar),
        DeValue::Boolean(_) => matches!(kind, Kind::Bool | Kind::Scalar),
        DeValue::Float(_) | DeValue::Datetime(_) => false,
    }
}
