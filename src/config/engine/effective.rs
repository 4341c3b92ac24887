//! The effective configuration for operators: the file's values, the defaults of absent keys, and no secrets.
//!
//! A key declared as a secret shows neither its content nor the name of its file or variable, because people sometimes
//! put the secret itself there. URLs are shown without user, password and query. The view is built from the
//! declarations, so an undeclared key cannot appear in it.

use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};
use url::Url;

use super::key::{KeySpec, Kind, Presence};
use super::value::matches_type;

/// The replacement for a secret.
const REDACTED: &str = "[redacted]";

/// Tables that take effect with their defaults when absent. Other absent tables turn their feature off.
const IMPLIED_TABLES: [&str; 8] = ["server", "drain", "log", "revocations", "limits", "replay", "delivery", "backoff"];

/// Returns the effective form of a table as a JSON object.
pub(crate) fn effective(keys: &'static [KeySpec], entries: Option<&DeTable<'_>>) -> Value {
    let mut object = Map::new();
    for key in keys {
        let given = entries.and_then(|entries| entries.get(key.name));
        let value = match (given, key.presence, &key.kind) {
            (Some(value), _, kind) if key.is_secret => Some(redacted(kind, value.get_ref())),
            (Some(value), _, kind) => Some(value_of(kind, value.get_ref())),
            (None, Presence::Default(default), kind) => Some(default_of(kind, default)),
            (None, Presence::Optional, Kind::Table(inner)) if IMPLIED_TABLES.contains(&key.name) => {
                Some(effective(inner, None))
            }
            (None, Presence::Optional | Presence::Required, _) => None,
        };
        object.extend(value.map(|value| (key.name.to_owned(), value)));
    }
    Value::Object(object)
}

fn value_of(kind: &'static Kind, value: &DeValue<'_>) -> Value {
    match (kind, value) {
        (Kind::Table(keys), DeValue::Table(entries)) => effective(keys, Some(entries)),
        (Kind::Map(kind), DeValue::Table(entries)) => {
            let one = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let name: &std::borrow::Cow<'_, str> = name.get_ref();
                (name.to_string(), value_of(kind, value.get_ref()))
            };
            Value::Object(entries.iter().map(one).collect())
        }
        (Kind::List(kind), DeValue::Array(items)) => items.iter().map(|item| value_of(kind, item.get_ref())).collect(),
        (Kind::OneOf(kinds), value) => {
            let kind = kinds.iter().find(|kind| matches_type(kind, value));
            kind.map_or(Value::Null, |kind| value_of(kind, value))
        }
        (_, DeValue::Boolean(flag)) => json!(flag),
        (_, DeValue::Integer(integer)) => {
            json!(
                i128::from_str_radix(integer.as_str(), integer.radix())
                    .ok()
                    .and_then(|number| i64::try_from(number).ok())
            )
        }
        (_, DeValue::String(text)) => json!(without_credentials(text)),
        // The reader has already rejected all other combinations.
        (_, DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_)) => Value::Null,
    }
}

/// Redacts a secret. The names in a map of secrets are shown, such as header names.
fn redacted(kind: &'static Kind, value: &DeValue<'_>) -> Value {
    match (kind, value) {
        (Kind::Map(_), DeValue::Table(entries)) => {
            Value::Object(entries.keys().map(|name| (name.get_ref().to_string(), json!(REDACTED))).collect())
        }
        _ => json!(REDACTED),
    }
}

fn default_of(kind: &Kind, default: &'static str) -> Value {
    match kind {
        // Of a key that takes one or several, the default is a list.
        Kind::Bool | Kind::Integer { .. } | Kind::List(_) | Kind::OneOf(_) => {
            serde_json::from_str(default).unwrap_or(json!(default))
        }
        Kind::Duration { .. }
        | Kind::Size { .. }
        | Kind::Memory
        | Kind::String
        | Kind::Scalar
        | Kind::Enum(_)
        | Kind::Table(_)
        | Kind::Map(_) => json!(default),
    }
}

fn without_credentials(text: &str) -> String {
    let Some(mut url) = text.contains("://").then(|| Url::parse(text).ok()).flatten() else { return text.to_owned() };
    if url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none() {
        return text.to_owned();
    }
    // Fails only for a URL without a host, which has no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if url.query().is_some() {
        url.set_query(Some(REDACTED));
    }
    url.set_fragment(None);
    url.to_string()
}
