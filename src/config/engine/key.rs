//! The declaration of a key: its name, its kind, its default and its description.
//!
//! The reader and the schema use the same declarations, so neither can know a key that the other does not, and each
//! default is written exactly once. The macro `keys!` makes the declarations.

use std::marker::PhantomData;
use std::time::Duration;

/// The declaration of one key.
#[derive(Debug)]
pub(crate) struct KeySpec {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
    /// The description in the schema and in `docs/configuration.md`.
    pub(crate) description: &'static str,
    /// Whether the effective configuration hides the value.
    pub(crate) is_secret: bool,
}

/// The effect of an absent key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// An absent key is a problem.
    Required,
    /// The key may be absent; the description says what that means.
    Optional,
    /// An absent key has this value. Strings have no quotes; arrays are written as in TOML and JSON.
    Default(&'static str),
}

/// The type of a value and its bounds. Bounds are inclusive and written as in the file.
#[derive(Debug)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer { min: u64, max: u64 },
    /// A duration. With `allows_zero`, zero is accepted below `min`.
    Duration { min: &'static str, max: &'static str, allows_zero: bool },
    /// A size.
    Size { min: &'static str, max: &'static str },
    /// A size or a percentage of the available memory.
    Memory,
    /// A string. The code that reads it checks its form.
    String,
    /// A string, a whole number, or `true` or `false`.
    Scalar,
    /// One of these strings.
    Enum(&'static [&'static str]),
    /// A table with these keys and no others.
    Table(&'static [KeySpec]),
    /// An array.
    List(&'static Kind),
    /// A table whose keys are chosen by the user.
    Map(&'static Kind),
    /// One of several kinds, distinguished by the TOML type.
    OneOf(&'static [Kind]),
}

/// A kind with bounds, whose values are read as `T`.
pub(crate) struct Bounds<T> {
    pub(crate) kind: Kind,
    read_as: PhantomData<fn() -> T>,
}

/// The integer types that values are read as.
pub(crate) trait Integer {
    const BITS: u32;
}

impl Integer for u8 {
    const BITS: u32 = Self::BITS;
}

impl Integer for u32 {
    const BITS: u32 = Self::BITS;
}

impl Integer for usize {
    const BITS: u32 = Self::BITS;
}

pub(crate) const fn integer<T: Integer>(min: u64, max: u64) -> Bounds<T> {
    assert!(min <= max && max <= u64::MAX >> (u64::BITS - T::BITS), "the bounds of a key must fit its type");
    Bounds { kind: Kind::Integer { min, max }, read_as: PhantomData }
}

pub(crate) const fn duration(min: &'static str, max: &'static str) -> Bounds<Duration> {
    Bounds { kind: Kind::Duration { min, max, allows_zero: false }, read_as: PhantomData }
}

pub(crate) const fn duration_or_zero(min: &'static str, max: &'static str) -> Bounds<Duration> {
    Bounds { kind: Kind::Duration { min, max, allows_zero: true }, read_as: PhantomData }
}

pub(crate) const fn size(min: &'static str, max: &'static str) -> Bounds<usize> {
    Bounds { kind: Kind::Size { min, max }, read_as: PhantomData }
}

impl KeySpec {
    /// Returns the default as written in the declaration.
    ///
    /// # Panics
    /// The key has no default.
    pub(crate) fn default_text(&self) -> &'static str {
        match self.presence {
            Presence::Default(default) => default,
            Presence::Required | Presence::Optional => panic!("the declaration of {} has no default", self.name),
        }
    }
}

impl Kind {
    /// Returns the noun phrase for "expected …" in a problem.
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Integer { .. } => "a whole number".to_owned(),
            Self::Duration { .. } => "a duration such as \"15s\"".to_owned(),
            Self::Size { .. } => "a size such as \"64KiB\"".to_owned(),
            Self::Memory => "a percentage such as \"80%\" or a size such as \"512MiB\"".to_owned(),
            Self::String => "a string".to_owned(),
            Self::Scalar => "a string, a whole number, true or false".to_owned(),
            Self::Enum([one]) => format!("{one:?}"),
            Self::Enum(several) => {
                let quoted: Vec<_> = several.iter().map(|one| format!("{one:?}")).collect();
                format!("one of {}", quoted.join(", "))
            }
            Self::Table(_) | Self::Map(_) => "a table".to_owned(),
            Self::List(_) => "an array".to_owned(),
            Self::OneOf(kinds) => kinds.iter().map(Self::expected).collect::<Vec<_>>().join(" or "),
        }
    }

    /// Returns the keys of the table of this kind, or of its items; empty if there is no such table.
    pub(crate) fn keys(&self) -> &'static [KeySpec] {
        match self {
            Self::Table(keys) => keys,
            Self::List(kind) | Self::Map(kind) => kind.keys(),
            Self::OneOf(kinds) => kinds.iter().map(Self::keys).find(|keys| !keys.is_empty()).unwrap_or(&[]),
            Self::Bool
            | Self::Integer { .. }
            | Self::Duration { .. }
            | Self::Size { .. }
            | Self::Memory
            | Self::String
            | Self::Scalar
            | Self::Enum(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::units;
    use super::*;
    use crate::config::tables::KEYS;

    /// Returns true if the default may be written in the file. Parses the bounds too.
    fn is_valid(kind: &Kind, default: &str) -> bool {
        match kind {
            Kind::Bool => default.parse::<bool>().is_ok(),
            Kind::Integer { min, max } => default.parse::<u64>().is_ok_and(|number| (*min..=*max).contains(&number)),
            Kind::Duration { min, max, allows_zero } => {
                let [min, max, default] = [min, max, default].map(|text| units::duration(text).expect("a duration"));
                (min..=max).contains(&default) || (*allows_zero && default.is_zero())
            }
            Kind::Size { min, max } => {
                let [min, max, default] = [min, max, default].map(|text| units::size(text).expect("a size"));
                (min..=max).contains(&default)
            }
            Kind::Memory => units::memory(default).is_ok(),
            Kind::String => !default.is_empty(),
            Kind::Enum(choices) => choices.contains(&default),
            Kind::List(_) | Kind::OneOf(_) => serde_json::from_str::<Vec<String>>(default).is_ok(),
            Kind::Scalar | Kind::Table(_) | Kind::Map(_) => false,
        }
    }

    #[test]
    fn every_declared_default_is_within_valid_bounds() {
        fn check(keys: &'static [KeySpec], checked: &mut usize) {
            for key in keys {
                if let Presence::Default(default) = key.presence {
                    assert!(is_valid(&key.kind, default), "{}: {default}", key.name);
                    *checked += 1;
                }
                check(key.kind.keys(), checked);
            }
        }
        let mut checked = 0;

        check(KEYS, &mut checked);

        assert!(checked > 60, "{checked} defaults");
    }
}
