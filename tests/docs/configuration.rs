//! docs/configuration.md is generated from the schema that the program prints.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::root;
use crate::support::server::Rillgate;

const PAGE: &str = "docs/configuration.md";

const HEAD: &str = "\
# Configuration, key by key

This page is generated from `rillgate schema` by `UPDATE_DOCS=1 cargo test --test docs`; do not edit it.
[config/rillgate.toml](../config/rillgate.toml) has the same keys as an annotated file, with the reasons for their bounds.
`rillgate check` reports every mistake in a file at once.

Durations are strings with a unit (`ms`, `s`, `m`, `h`, `d`), and so are sizes (`B`, `KiB`, `MiB`, `GiB`). Unknown keys are errors.
Relative paths start at the file's folder. In the names here, `[[routes]]` is a table that may occur more than once, and `NAME` is a
name that you choose.
";

#[test]
fn the_configuration_page_matches_the_schema() {
    let output = Rillgate::command().arg("schema").output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut made = HEAD.to_owned();
    for (name, value) in properties(&schema) {
        section(&mut made, name, value, is_required(&schema, name));
    }
    let path = root().join(PAGE);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }

    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = written.lines().zip(made.lines()).find(|(written, made)| written != made);
    assert!(
        written == made,
        "{PAGE} is not what `rillgate schema` says; UPDATE_DOCS=1 cargo test --test docs makes it anew: {differing:?}"
    );
    let mut keys = Vec::new();
    named(&schema, &mut keys);
    assert!(keys.len() > 80, "{keys:?}");
    for key in keys {
        let is_there = [format!("`{key}`"), format!(".{key}`"), format!("[{key}]"), format!("[{key}.")];
        assert!(is_there.iter().any(|written| made.contains(written)), "{key} is not on the page");
    }
}

/// Collects the names of all keys, at any depth.
fn named(schema: &Value, keys: &mut Vec<String>) {
    for (key, value) in properties(schema) {
        keys.push(key.to_owned());
        named(value, keys);
    }
    for inner in [&schema["items"], &schema["additionalProperties"]] {
        if inner.is_object() {
            named(inner, keys);
        }
    }
    schema["anyOf"].as_array().into_iter().flatten().for_each(|one| named(one, keys));
}

/// Writes a table of the file under its own heading, and its larger subtables under theirs.
fn section(page: &mut String, name: &str, value: &Value, is_required: bool) {
    let (path, table) = table_of(name, value);
    let needed = if is_required { " Required." } else { "" };
    write!(page, "\n## `{path}`\n\n{}{needed}\n", description(value).0).unwrap();
    // Subtables get their headings after the keys of their table.
    let (subtables, keys): (Vec<_>, Vec<_>) =
        properties(table).partition(|(_, value)| value["type"] == "object" && value["properties"].is_object());
    rows(page, table, keys.into_iter());
    let inner = name_inside(&path);
    for (key, value) in subtables {
        write!(page, "\n### `{inner}.{key}`\n\n{}\n", description(value).0).unwrap();
        rows(page, value, properties(value));
    }
    // For example `auth`, which is a string or a table.
    for (key, value) in properties(table) {
        for one in value["anyOf"].as_array().into_iter().flatten().filter(|one| one["properties"].is_object()) {
            write!(page, "\n### `{inner}.{key}` as a table\n").unwrap();
            rows(page, one, properties(one));
        }
    }
}

/// Returns the notation of a top-level table in a file, and the schema of its keys.
fn table_of<'a>(name: &str, value: &'a Value) -> (String, &'a Value) {
    match value["type"].as_str() {
        Some("array") => (format!("[[{name}]]"), &value["items"]),
        _ if value["additionalProperties"].is_object() => (format!("[{name}.NAME]"), &value["additionalProperties"]),
        _ => (format!("[{name}]"), value),
    }
}

fn name_inside(path: &str) -> String {
    path.trim_matches(['[', ']']).to_owned()
}

fn rows<'a>(page: &mut String, table: &Value, keys: impl Iterator<Item = (&'a str, &'a Value)>) {
    let mut keys = keys.peekable();
    if keys.peek().is_none() {
        return;
    }
    page.push_str("\n| key | type | default | bounds | meaning |\n|---|---|---|---|---|\n");
    for (key, value) in keys {
        row(page, key, value, is_required(table, key));
    }
}

fn row(page: &mut String, key: &str, value: &Value, must_be: bool) {
    let (words, bounds) = description(value);
    let default = match (&value["default"], must_be) {
        (_, true) => "required".to_owned(),
        (Value::Null, false) => String::new(),
        (Value::String(text), false) => format!("`\"{text}\"`"),
        (default, false) => format!("`{default}`"),
    };
    let cells = [format!("`{key}`"), kind(value), default, bounds, words].map(|cell| cell.replace('|', "\\|"));
    writeln!(page, "| {} |", cells.join(" | ")).unwrap();
    for (table, inner, value) in inner_keys(value) {
        row(page, &format!("{key}.{inner}"), value, is_required(table, inner));
    }
}

/// Returns the keys of a table that is the value of a row: directly, as an item, or as one of several types.
fn inner_keys(value: &Value) -> Vec<(&Value, &str, &Value)> {
    // If the key itself is a string or a table, the table has its own heading.
    let (items, entries) = (&value["items"], &value["additionalProperties"]);
    let several = [items, entries].into_iter().flat_map(|place| place["anyOf"].as_array().into_iter().flatten());
    let places = [value, items, entries].into_iter().chain(several);
    places.flat_map(|table| properties(table).map(move |(key, value)| (table, key, value))).collect()
}

fn kind(value: &Value) -> String {
    if let Some(choices) = value["enum"].as_array() {
        return choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(several) = value["anyOf"].as_array() {
        let mut kinds: Vec<_> = several.iter().map(kind).collect();
        kinds.dedup();
        let is_list_of_the_others =
            kinds.split_last().is_some_and(|(last, others)| *last == format!("array of {}", others.join(" or ")));
        if is_list_of_the_others {
            *kinds.last_mut().unwrap() = "an array of them".to_owned();
        }
        return kinds.join(" or ");
    }
    let pattern = value["pattern"].as_str().unwrap_or_default();
    match value["type"].as_str() {
        Some("string") if pattern.contains("%") => "percentage or size".to_owned(),
        Some("string") if pattern.contains("KiB") => "size".to_owned(),
        Some("string") if pattern.contains("ms") => "duration".to_owned(),
        Some("string") => "string".to_owned(),
        Some("integer") => "whole number".to_owned(),
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("array") => format!("array of {}", kind(&value["items"])),
        Some("object") if value["additionalProperties"].is_object() => {
            format!("table of {}", kind(&value["additionalProperties"]))
        }
        Some("object") => "table".to_owned(),
        other => panic!("a type that the page cannot name: {other:?} in {value}"),
    }
}

/// Returns the description without its bounds, and the bounds.
fn description(value: &Value) -> (String, String) {
    let words = value["description"].as_str().unwrap_or_default();
    if let (Some(least), Some(most)) = (value["minimum"].as_u64(), value["maximum"].as_u64()) {
        return (words.to_owned(), format!("{least} to {most}"));
    }
    let Some(at) = words.rfind("From ") else { return (words.to_owned(), String::new()) };
    let (before, bounds) = words.split_at(at);
    let (bounds, after) = bounds.split_once('.').unwrap_or((bounds, ""));
    let words = format!("{} {}", before.trim(), after.trim());
    (words.trim().to_owned(), bounds.trim_start_matches("From ").to_owned())
}

fn properties(table: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let properties = table["properties"].as_object().into_iter().flat_map(Map::iter);
    properties.map(|(name, value)| (name.as_str(), value))
}

fn is_required(table: &Value, key: &str) -> bool {
    table["required"].as_array().into_iter().flatten().any(|required| required == key)
}
