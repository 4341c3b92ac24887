//! The declaration of a key: its name, what may stand there, its default, and what it is for.
//!
//! Reader and schema work from the same declarations, so that neither can know a key that the other does not, and a
//! default is written down once. Declarations stand beside the code that reads them. Holds no value of a file.

/// One key of the file.
#[derive(Debug)]
pub(crate) struct KeySpec {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
    /// What it is for, in the words of the schema.
    pub(crate) description: &'static str,
    /// Whether what stands there is shown to nobody.
    pub(crate) is_secret: bool,
}

/// What happens when a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is a problem.
    Required,
    /// It means something of its own: nothing, or what the words say.
    Optional,
    /// This value is used. Strings without quotes, arrays as TOML (and JSON) write them.
    Default(&'static str),
}

/// What may stand at a key. Bounds are inclusive and written as in the file.
#[derive(Debug)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer { min: u64, max: u64 },
    /// A duration; `off`: zero is allowed too.
    Duration { min: &'static str, max: &'static str, allows_zero: bool },
    /// A size.
    Size { min: &'static str, max: &'static str },
    /// A size or a percentage.
    Memory,
    /// A string. Its form is checked by the code that reads it.
    String,
    /// A string, a whole number, or `true` or `false`.
    Scalar,
    /// One of these strings.
    Enum(&'static [&'static str]),
    /// A table with these keys and no others.
    Table(&'static [KeySpec]),
    /// An array.
    List(&'static Kind),
    /// A table whose keys are names chosen by the user.
    Map(&'static Kind),
    /// One of several, told apart by the TOML type.
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

    /// The same key, of which nothing is shown.
    pub(crate) const fn secret(self) -> Self {
        Self { is_secret: true, ..self }
    }

    /// The default, of a key that has one.
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

    /// What a problem says was expected.
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Integer { .. } => "a whole number".to_owned(),
            Self::Duration { .. } => "a duration such as \"15s\"".to_owned(),
            Self::Size { .. } => "a size such as \"64KiB\"".to_owned(),
            Self::Memory => "a share such as \"80%\" or a size such as \"512MiB\"".to_owned(),
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

    /// The keys of the table that may stand there, directly or as items.
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
