//! A value of the file, read as the type that its key declares.
//!
//! A value is read only on request. If it does not fit its declared kind, the problem is reported and `None` returned.

use std::marker::PhantomData;
use std::time::Duration;

use toml::de::DeValue;

use super::key::Kind;
use super::problem::{did_you_mean, nearest};
use super::reader::{Location, Reader};
use super::units::{self, Memory};

/// A value in the file that is read as `T`.
pub(crate) struct Value<'a, T = &'a str> {
    pub(crate) reader: &'a Reader<'a>,
    pub(crate) location: Location,
    pub(super) kind: &'static Kind,
    pub(super) toml: &'a DeValue<'a>,
    read_as: PhantomData<fn() -> T>,
}

/// A type that values are read as.
pub(crate) trait FromValue<'a>: Sized {
    /// The kind of a key that is declared without bounds. Does not compile for a type that needs bounds.
    const KIND: Kind;

    /// Reads the value, or reports its problem.
    fn from_value(value: &Value<'a, Self>) -> Option<Self>;
}

/// A type that has defaults, written as in the declaration of a key.
pub(crate) trait FromDefault: Sized {
    fn from_default(text: &'static str) -> Option<Self>;
}

/// The items of an array.
pub(crate) type List<'a, T> = Vec<Value<'a, T>>;

/// The entries of a table with user-chosen keys, in file order.
pub(crate) type Map<'a, T> = Vec<(&'a str, Value<'a, T>)>;

/// A value of one of two kinds, distinguished by the TOML type.
pub(crate) enum OneOf<'a, A, B> {
    First(Value<'a, A>),
    Second(Value<'a, B>),
}

impl<'a, T> Value<'a, T> {
    pub(super) fn new(reader: &'a Reader<'a>, location: Location, kind: &'static Kind, toml: &'a DeValue<'a>) -> Self {
        Self { reader, location, kind, toml, read_as: PhantomData }
    }

    /// Reports a problem at this value.
    pub(crate) fn report(&self, message: impl Into<String>) {
        self.reader.report(&self.location, message);
    }

    /// Reports that the value has the wrong type. Returns `None`.
    pub(super) fn type_mismatch<R>(&self) -> Option<R> {
        let found = match self.toml {
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

    /// Parses a value that is written as a string.
    fn parsed<R>(&self, parse: impl Fn(&str) -> Result<R, units::MalformedValue>) -> Option<R> {
        let DeValue::String(text) = self.toml else { return self.type_mismatch() };
        parse(text)
            .map_err(|malformed| self.report(format!("{}{}", malformed.message, did_you_mean(malformed.suggestion))))
            .ok()
    }

    fn integer(&self) -> Option<u64> {
        let Kind::Integer { min, max } = self.kind else { unreachable!("`Bounds` of an integer have this kind") };
        let DeValue::Integer(integer) = self.toml else { return self.type_mismatch() };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| u64::try_from(number).ok()).filter(|n| (min..=max).contains(&n));
        if number.is_none() {
            self.report(format!("must be between {min} and {max}"));
        }
        number
    }

    fn size(&self) -> Option<u64> {
        let Kind::Size { min, max } = self.kind else { unreachable!("`Bounds` of a size have this kind") };
        let bound = |text: &str| units::size(text).expect("declared bounds are valid: a test reads all of them");
        let size = self.parsed(units::size)?;
        if (bound(min)..=bound(max)).contains(&size) {
            return Some(size);
        }
        self.report(format!("must be between {min} and {max}"));
        None
    }

    /// Returns one of the declared strings, as `meaning` maps it.
    pub(crate) fn variant(&self, meaning: impl Fn(&'static str) -> Option<T>) -> Option<T> {
        let Kind::Enum(choices) = self.kind else { unreachable!("enums have this kind") };
        let DeValue::String(text) = self.toml else { return self.type_mismatch() };
        let found = choices.iter().copied().find(|choice| choice == text);
        if found.is_none() {
            let meant = nearest(text, choices.iter().copied());
            self.report(format!("expected {}{}", self.kind.expected(), did_you_mean(meant)));
        }
        found.and_then(meaning)
    }
}

impl<'a, T: FromValue<'a>> Value<'a, T> {
    /// Reads the value, or reports its problem.
    pub(crate) fn read(&self) -> Option<T> {
        T::from_value(self)
    }
}

/// Fails to compile where a key of a type with bounds is declared without them.
const fn needs_bounds() -> Kind {
    panic!("keys of this type need bounds: `in integer(…)`, `in size(…)` or `in duration(…)`")
}

impl<'a> FromValue<'a> for bool {
    const KIND: Kind = Kind::Bool;

    fn from_value(value: &Value<'a, Self>) -> Option<Self> {
        value.toml.as_bool().or_else(|| value.type_mismatch())
    }
}

macro_rules! from_integer {
    ($($type:ty),+) => {$(
        impl<'a> FromValue<'a> for $type {
            const KIND: Kind = needs_bounds();

            fn from_value(value: &Value<'a, Self>) -> Option<Self> {
                // `Bounds` fit the type.
                value.integer()?.try_into().ok()
            }
        }
    )+};
}

from_integer!(u8, u32);

impl<'a> FromValue<'a> for usize {
    const KIND: Kind = needs_bounds();

    fn from_value(value: &Value<'a, Self>) -> Option<Self> {
        let number = if matches!(value.kind, Kind::Size { .. }) { value.size() } else { value.integer() };
        number.map(|number| usize::try_from(number).unwrap_or(usize::MAX))
    }
}

impl<'a> FromValue<'a> for Duration {
    const KIND: Kind = needs_bounds();

    fn from_value(value: &Value<'a, Self>) -> Option<Self> {
        let Kind::Duration { min, max, allows_zero } = value.kind else {
            unreachable!("`Bounds` of a duration have this kind")
        };
        let bound = |text: &str| units::duration(text).expect("declared bounds are valid: a test reads all of them");
        let duration = value.parsed(units::duration)?;
        if (*allows_zero && duration.is_zero()) || (bound(min)..=bound(max)).contains(&duration) {
            return Some(duration);
        }
        let zero = if *allows_zero { "0s, or " } else { "" };
        value.report(format!("must be {zero}between {min} and {max}"));
        None
    }
}

impl<'a> FromValue<'a> for Memory {
    const KIND: Kind = Kind::Memory;

    fn from_value(value: &Value<'a, Self>) -> Option<Self> {
        /// The gateway itself needs about this much; with less it would refuse every subscription.
        const MIN_MEMORY: u64 = 32 << 20;
        let memory = value.parsed(units::memory)?;
        if matches!(memory, Self::Bytes(bytes) if bytes < MIN_MEMORY) {
            value.report("must be at least 32MiB");
            return None;
        }
        Some(memory)
    }
}

/// A string that is not empty.
impl<'a> FromValue<'a> for &'a str {
    const KIND: Kind = Kind::String;

    fn from_value(value: &Value<'a, Self>) -> Option<Self> {
        let DeValue::String(text) = value.toml else { return value.type_mismatch() };
        if text.is_empty() {
            value.report("must not be empty");
            return None;
        }
        Some(text)
    }
}

/// A string, a whole number or a boolean.
impl<'a> FromValue<'a> for serde_json::Value {
    const KIND: Kind = Kind::Scalar;

    fn from_value(value: &Value<'a, Self>) -> Option<Self> {
        match value.toml {
            DeValue::Boolean(flag) => Some((*flag).into()),
            DeValue::Integer(integer) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                if number.is_none() {
                    value.report("number out of range");
                }
                number.map(Self::from)
            }
            DeValue::String(text) if text.is_empty() => {
                value.report("must not be empty");
                None
            }
            DeValue::String(text) => Some(text.as_ref().into()),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => value.type_mismatch(),
        }
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for List<'a, T> {
    const KIND: Kind = Kind::List(&T::KIND);

    fn from_value(value: &Value<'a, Self>) -> Option<Self> {
        let Kind::List(kind) = value.kind else { unreachable!("arrays have this kind") };
        let DeValue::Array(items) = value.toml else { return value.type_mismatch() };
        let item = |(index, item): (usize, &'a toml::Spanned<DeValue<'a>>)| {
            let location = value.location.item(item.span().start, index);
            Value::new(value.reader, location, kind, item.get_ref())
        };
        Some(items.iter().enumerate().map(item).collect())
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Map<'a, T> {
    const KIND: Kind = Kind::Map(&T::KIND);

    fn from_value(value: &Value<'a, Self>) -> Option<Self> {
        let Kind::Map(kind) = value.kind else { unreachable!("maps have this kind") };
        let DeValue::Table(entries) = value.toml else { return value.type_mismatch() };
        let mut found = Self::new();
        for (name, entry) in entries {
            let name: &'a str = name.get_ref();
            let location = value.location.child(entry.span().start, name);
            found.push((name, Value::new(value.reader, location, kind, entry.get_ref())));
        }
        // `DeTable` sorts its entries by name.
        found.sort_by_key(|(_, value)| value.location.offset);
        Some(found)
    }
}

impl<'a, A: FromValue<'a>, B: FromValue<'a>> FromValue<'a> for OneOf<'a, A, B> {
    const KIND: Kind = Kind::OneOf(&[A::KIND, B::KIND]);

    fn from_value(value: &Value<'a, Self>) -> Option<Self> {
        let Kind::OneOf([first, second]) = value.kind else { unreachable!("a choice of two has this kind") };
        let (reader, location, toml) = (value.reader, value.location.clone(), value.toml);
        match (matches_type(first, toml), matches_type(second, toml)) {
            (true, _) => Some(Self::First(Value::new(reader, location, first, toml))),
            (false, true) => Some(Self::Second(Value::new(reader, location, second, toml))),
            (false, false) => value.type_mismatch(),
        }
    }
}

impl<'a, T: FromValue<'a>> OneOf<'a, T, List<'a, T>> {
    /// Returns the items of the array, or the one value.
    pub(crate) fn items(self) -> List<'a, T> {
        match self {
            Self::First(value) => vec![value],
            Self::Second(list) => list.read().unwrap_or_default(),
        }
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

macro_rules! from_default {
    ($($type:ty: $parse:expr,)+) => {$(
        impl FromDefault for $type {
            fn from_default(text: &'static str) -> Option<Self> {
                $parse(text)
            }
        }
    )+};
}

from_default! {
    bool: |text: &str| text.parse().ok(),
    u8: |text: &str| text.parse().ok(),
    u32: |text: &str| text.parse().ok(),
    // A count or a size.
    usize: |text: &str| text.parse().ok().or_else(|| units::size(text).ok()?.try_into().ok()),
    Duration: |text| units::duration(text).ok(),
    Memory: |text| units::memory(text).ok(),
    &str: Some,
}
