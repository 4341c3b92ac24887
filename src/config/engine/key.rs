//! The declaration of a key: its name, its kind, its default and its description.
//!
//! The reader and the schema use the same declarations, so neither can know a key that the other does not, and each
//! default is written exactly once. Declarations are next to the code that reads the keys.

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

impl KeySpec {
    pub(crate) const fn required(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, kind, presence: Presence::Required, description, is_secret: false }
    }

    pub(crate) const fn optional(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, kind, presence: Presence::Optional, description, is_secret: false }
    }

    pub(crate) const fn default(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        description: &'static str,
    ) -> Self {
        Self { name, kind, presence: Presence::Default(default), description, is_secret: false }
    }

    /// Marks the key as a secret, which the effective configuration hides.
    pub(crate) const fn secret(self) -> Self {
        Self { is_secret: true, ..self }
    }

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
    pub(crate) const fn integer(min: u64, max: u64) -> Self {
        Self::Integer { min, max }
    }

    pub(crate) const fn duration(min: &'static str, max: &'static str) -> Self {
        Self::Duration { min, max, allows_zero: false }
    }

    pub(crate) const fn duration_or_zero(min: &'static str, max: &'static str) -> Self {
        Self::Duration { min, max, allows_zero: true }
    }

    pub(crate) const fn size(min: &'static str, max: &'static str) -> Self {
        Self::Size { min, max }
    }

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
