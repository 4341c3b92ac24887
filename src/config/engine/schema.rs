//! The JSON Schema (2020-12) of the configuration file, built from the declarations that the reader uses.
//!
//! Editors use it for completion and validation. It contains every key with its type, default and bounds. JSON Schema
//! cannot express the bounds of durations, references between tables and contradictions; the reader checks those.

use serde_json::{Map, Value, json};

use super::key::{KeySpec, Kind, Presence};

/// Returns the JSON Schema of a file with these keys.
pub(crate) fn schema(keys: &[KeySpec]) -> Value {
    let mut schema = table(keys);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("rillgate.toml");
    schema["description"] = json!("The configuration file of rillgate.");
    schema
}

fn table(keys: &[KeySpec]) -> Value {
    let properties: Map<_, _> = keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required = keys.iter().filter(|key| key.presence == Presence::Required).map(|key| key.name);
    let required: Vec<_> = required.collect();
    let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(key: &KeySpec) -> Value {
    let mut schema = kind(&key.kind);
    let description = key.description;
    schema["description"] = match bounds(&key.kind) {
        Some(bounds) => json!(format!("{description} {bounds}")),
        None => json!(description),
    };
    if let Presence::Default(default) = key.presence {
        schema["default"] = default_value(&key.kind, default);
    }
    schema
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Duration { .. } => json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,9})?(ms|s|m|h|d)$" }),
        Kind::Size { .. } => json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,9})?(B|KiB|MiB|GiB)$" }),
        Kind::Memory => {
            json!({ "type": "string", "pattern": "^([0-9]{1,3}%|[0-9]+(\\.[0-9]{1,9})?(B|KiB|MiB|GiB))$" })
        }
        Kind::String => json!({ "type": "string", "minLength": 1 }),
        Kind::Scalar => json!({ "anyOf": [self::kind(&Kind::String), { "type": "integer" }, self::kind(&Kind::Bool)] }),
        Kind::Enum(choices) => json!({ "enum": choices }),
        Kind::Table(keys) => table(keys),
        Kind::List(item) => json!({ "type": "array", "items": self::kind(item) }),
        Kind::Map(value) => {
            json!({ "type": "object", "additionalProperties": self::kind(value) })
        }
        Kind::OneOf(kinds) => {
            json!({ "anyOf": kinds.iter().map(self::kind).collect::<Vec<_>>() })
        }
    }
}

/// Returns the sentence about bounds that JSON Schema cannot express. Integers have `minimum` and `maximum`.
fn bounds(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Duration { min, max, allows_zero: true } => Some(format!("From {min} to {max}, or 0s.")),
        Kind::Duration { min, max, allows_zero: false } | Kind::Size { min, max } => {
            Some(format!("From {min} to {max}."))
        }
        Kind::Memory => Some("From 1% to 100%, or from 32MiB.".to_owned()),
        Kind::Bool
        | Kind::Integer { .. }
        | Kind::String
        | Kind::Scalar
        | Kind::Enum(_)
        | Kind::Table(_)
        | Kind::List(_)
        | Kind::Map(_)
        | Kind::OneOf(_) => None,
    }
}

fn default_value(kind: &Kind, text: &str) -> Value {
    match kind {
        Kind::Bool | Kind::Integer { .. } | Kind::List(_) => {
            serde_json::from_str(text).expect("declared defaults are valid: a test reads all of them")
        }
        Kind::Duration { .. }
        | Kind::Size { .. }
        | Kind::Memory
        | Kind::String
        | Kind::Scalar
        | Kind::Enum(_)
        | Kind::Table(_)
        | Kind::Map(_) => json!(text),
        Kind::OneOf(_) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}
