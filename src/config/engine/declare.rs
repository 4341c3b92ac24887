//! The macros that declare the keys of a table and the strings of an enum.
//!
//! One declaration makes the field that holds the key, its [`KeySpec`](super::KeySpec), and the code that reads it. A
//! misspelled key, a value used as another type, and missing bounds do not compile. The compiler warns of a key that
//! nobody reads, since its field is unused.

/// Declares tables of the file.
///
/// ```text
/// keys! {
///     pub(super) struct DrainTable<'a> {
///         /// Period over which responses are ended. 0s: all at once.
///         spread: Duration = "5s" in duration_or_zero("1ms", "1h"),
///     }
/// }
/// ```
///
/// A key has, in this order:
///
/// - its description for the schema and `docs/configuration.md`, as a doc comment;
/// - its name;
/// - the type that it is read as: `bool`, `u8`, `u32`, `usize`, [`Duration`](std::time::Duration), `Memory`, `&'a str`,
///   `serde_json::Value`, an enum of `variants!`, another table, or a `List`, `Map` or `OneOf` of these;
/// - after `=`, its default as written in the file (strings without quotes), or `required`, or `optional`;
/// - `as secret` if the effective configuration hides the value;
/// - after `in`, its bounds, which integers and `Duration` need.
///
/// The field is a [`Key`](super::Key), which reads the value on request: `drain.spread.get()`.
macro_rules! keys {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis struct $table:ident<$a:lifetime> {
            $(
                $(#[doc = $description:literal])+
                $field_visibility:vis $key:ident: $type:ty = $presence:tt $(as $secret:ident)? $(in $bounds:expr)?,
            )+
        }
    )+) => {$(
        $(#[$attribute])*
        $visibility struct $table<$a> {
            $(
                $(#[doc = $description])+
                $field_visibility $key: $crate::config::engine::Key<$a, $type, keys!(@default $presence)>,
            )+
        }

        impl<$a> $crate::config::engine::Keys<$a> for $table<$a> {
            const KEYS: &'static [$crate::config::engine::KeySpec] = &[$(
                $crate::config::engine::KeySpec {
                    name: stringify!($key),
                    kind: keys!(@kind $type $(, $bounds)?),
                    presence: keys!(@presence $presence),
                    description: concat!($($description),+).trim_ascii(),
                    is_secret: keys!(@secret $($secret)?),
                },
            )+];

            fn new(table: &$crate::config::engine::Table<$a>) -> Self {
                Self { $($key: table.key(stringify!($key))),+ }
            }
        }
    )+};

    (@default required) => { () };
    (@default optional) => { () };
    (@default $default:literal) => { $crate::config::engine::HasDefault };

    (@presence required) => { $crate::config::engine::Presence::Required };
    (@presence optional) => { $crate::config::engine::Presence::Optional };
    (@presence $default:literal) => { $crate::config::engine::Presence::Default($default) };

    (@kind $type:ty) => { <$type as $crate::config::engine::FromValue<'_>>::KIND };
    (@kind $type:ty, $bounds:expr) => {{
        const BOUNDS: $crate::config::engine::Bounds<$type> = $bounds;
        BOUNDS.kind
    }};

    (@secret) => { false };
    (@secret secret) => { true };
}

/// Declares the strings of an enum: `variants!(OnGap { "oldest" => Oldest, "live" => Live });`.
macro_rules! variants {
    ($type:ident { $($text:literal => $variant:ident),+ $(,)? }) => {
        impl $crate::config::engine::FromDefault for $type {
            fn from_default(text: &'static str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl<'a> $crate::config::engine::FromValue<'a> for $type {
            const KIND: $crate::config::engine::Kind = $crate::config::engine::Kind::Enum(&[$($text),+]);

            fn from_value(value: &$crate::config::engine::Value<'a, Self>) -> Option<Self> {
                value.variant(<Self as $crate::config::engine::FromDefault>::from_default)
            }
        }
    };
}

pub(crate) use {keys, variants};
