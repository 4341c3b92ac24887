//! A table of the file, whose declared keys are requested by name.
//!
//! Each method returns a checked value or the declared default. Malformed, missing and unknown keys are reported.
//! Requesting an undeclared key is a programming error and panics.

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::key::{KeySpec, Kind, Presence};
use super::problem::{did_you_mean, nearest};
use super::reader::{Location, Reader};
use super::units::{self, Memory};
use super::value::Value;

/// A table with declared keys. If the file does not contain the table, every key has its default.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    pub(crate) reader: &'a Reader<'a>,
    location: Location,
    keys: &'static [KeySpec],
    entries: Option<&'a DeTable<'a>>,
    /// Whether the file has a value of another type here. Missing keys are then not reported.
    is_placeholder: bool,
}

impl<'a> Table<'a> {
    /// Reports the keys that are not declared.
    pub(crate) fn new(
        reader: &'a Reader<'a>,
        location: Location,
        keys: &'static [KeySpec],
        entries: &'a DeTable<'a>,
    ) -> Self {
        for name in entries.keys() {
            if keys.iter().any(|key| key.name == name.get_ref()) {
                continue;
            }
            let inside = |key: &&KeySpec| key.kind.keys().iter().any(|inner| inner.name == name.get_ref());
            let meant = nearest(name.get_ref(), keys.iter().map(|key| key.name)).map(str::to_owned);
            let meant =
                meant.or_else(|| keys.iter().find(inside).map(|key| format!("{}.{}", key.name, name.get_ref())));
            let location = location.child(name.span().start, name.get_ref(), "*");
            reader.report(&location, format!("unknown key{}", did_you_mean(meant)));
        }
        Self { reader, location, keys, entries: Some(entries), is_placeholder: false }
    }

    /// Creates a stand-in for a value that is not a table. Every key has its default; missing keys are not reported.
    pub(crate) fn placeholder(reader: &'a Reader<'a>, location: Location, keys: &'static [KeySpec]) -> Self {
        Self { reader, location, keys, entries: None, is_placeholder: true }
    }

    fn key(&self, name: &str) -> &'static KeySpec {
        let declared = self.keys.iter().find(|key| key.name == name);
        declared.unwrap_or_else(|| panic!("{name} is requested but not declared in {:?}", self.location.declared_path))
    }

    /// Returns the value of `name`. Reports a required key that is absent.
    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        let key = self.key(name);
        let requested = self.location.child(self.location.offset, name, name);
        self.reader.requested.borrow_mut().insert(requested.declared_path.clone());
        let Some(spanned) = self.entries.and_then(|entries| entries.get(name)) else {
            if key.presence == Presence::Required && !self.is_placeholder {
                self.reader.report(&requested, "missing required key");
            }
            return None;
        };
        let location = Location { offset: spanned.span().start, ..requested };
        Some(Value { reader: self.reader, location, kind: &key.kind, value: spanned.get_ref() })
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(name))
    }

    /// Reports a problem at the value of `name`, or at the table if the key is absent.
    pub(crate) fn report(&self, name: &str, message: impl Into<String>) {
        let offset =
            self.entries.and_then(|entries| entries.get(name)).map_or(self.location.offset, |value| value.span().start);
        self.reader.report(&self.location.child(offset, name, name), message);
    }

    fn read<T>(&self, name: &str, read: impl Fn(&Value<'a>) -> Option<T>, default: impl Fn(&str) -> Option<T>) -> T {
        let given = self.get(name).and_then(|value| read(&value));
        given
            .or_else(|| default(self.key(name).default_text()))
            .expect("declared defaults are valid: a test reads all of them")
    }

    pub(crate) fn boolean(&self, name: &str) -> bool {
        self.read(name, Value::boolean, |default| default.parse().ok())
    }

    pub(crate) fn integer(&self, name: &str) -> u64 {
        self.read(name, Value::integer, |default| default.parse().ok())
    }

    /// Returns an integer as `usize`.
    pub(crate) fn count(&self, name: &str) -> usize {
        usize::try_from(self.integer(name)).unwrap_or(usize::MAX)
    }

    pub(crate) fn duration(&self, name: &str) -> Duration {
        self.read(name, Value::duration, |default| units::duration(default).ok())
    }

    /// Returns a duration, or `None` if it is zero.
    pub(crate) fn nonzero_duration(&self, name: &str) -> Option<Duration> {
        Some(self.duration(name)).filter(|duration| !duration.is_zero())
    }

    /// Returns a size in bytes.
    pub(crate) fn size(&self, name: &str) -> usize {
        let bytes = self.read(name, Value::size, |default| units::size(default).ok());
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub(crate) fn memory(&self, name: &str) -> Memory {
        self.read(name, Value::memory, |default| units::memory(default).ok())
    }

    /// Returns the value that `meanings` assigns to the given string.
    pub(crate) fn variant<T: Copy>(&self, name: &str, meanings: &[(&str, T)]) -> T {
        let meaning = |choice: &str| meanings.iter().find(|(known, _)| *known == choice).map(|&(_, meaning)| meaning);
        self.read(name, |value| value.variant().and_then(meaning), meaning)
    }

    /// Returns a string that is not empty. `None`: absent or invalid.
    pub(crate) fn string(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.string()
    }

    /// Returns the string, or its default if it is absent or invalid.
    pub(crate) fn string_or_default(&self, name: &str) -> &'a str {
        self.string(name).unwrap_or(self.key(name).default_text())
    }

    /// Parses one string or an array of strings with `read`. Returns the default if the key is absent.
    pub(crate) fn strings(&self, name: &str, read: impl Fn(&Value<'a>, &str) -> Option<String>) -> Vec<String> {
        let Some(given) = self.get(name) else {
            return serde_json::from_str(self.key(name).default_text())
                .expect("the default of a list is an array: a test reads all of them");
        };
        let Some(given) = given.alternative() else { return Vec::new() };
        let items = if matches!(given.kind, Kind::List(_)) { given.items() } else { vec![given.clone()] };
        if items.is_empty() {
            given.report("must not be empty");
        }
        items.iter().filter_map(|value| read(value, value.string()?)).collect()
    }

    /// Returns the table at `name`. If it is absent or malformed, every key has its default.
    pub(crate) fn table(&self, name: &str) -> Table<'a> {
        let found = self.get(name);
        let is_placeholder = found.is_some();
        found.and_then(|value| value.table()).unwrap_or_else(|| Table {
            reader: self.reader,
            location: self.location.child(self.location.offset, name, name),
            keys: self.key(name).kind.keys(),
            entries: None,
            is_placeholder: is_placeholder || self.is_placeholder,
        })
    }

    /// Returns the table at `name`. `None`: absent or malformed.
    pub(crate) fn optional_table(&self, name: &str) -> Option<Table<'a>> {
        self.get(name)?.table()
    }

    /// Returns the items of the array at `name`; none if it is absent.
    pub(crate) fn items(&self, name: &str) -> Vec<Value<'a>> {
        self.get(name).map(|value| value.items()).unwrap_or_default()
    }

    /// Returns the items of the array at `name`. Reports an array that is empty.
    pub(crate) fn nonempty_items(&self, name: &str) -> Vec<Value<'a>> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let items = value.items();
        if items.is_empty() && matches!(value.value, DeValue::Array(_)) {
            value.report("must not be empty");
        }
        items
    }

    /// Returns the entries of the table with user-chosen keys at `name`; none if it is absent.
    pub(crate) fn entries(&self, name: &str) -> Vec<(&'a str, Value<'a>)> {
        self.get(name).map(|value| value.entries()).unwrap_or_default()
    }
}

impl<'a> Reader<'a> {
    /// Returns the root table of the document.
    pub(crate) fn root(&'a self, keys: &'static [KeySpec], entries: &'a DeTable<'a>) -> Table<'a> {
        let location = Location { offset: 0, key: String::new(), declared_path: String::new() };
        Table::new(self, location, keys, entries)
    }
}

impl<'a> Value<'a> {
    /// Returns the value as a table.
    pub(crate) fn table(&self) -> Option<Table<'a>> {
        let Kind::Table(keys) = self.kind else { unreachable!("declared as a table") };
        let DeValue::Table(entries) = self.value else { return self.type_mismatch() };
        Some(Table::new(self.reader, self.location.clone(), keys, entries))
    }

    /// Returns the value as a table, or a placeholder. Routes may refer to the table by name even if it is malformed, so
    /// that only its own problem is reported.
    pub(crate) fn table_or_placeholder(&self) -> Table<'a> {
        let wrong = || Table::placeholder(self.reader, self.location.clone(), self.kind.keys());
        self.table().unwrap_or_else(wrong)
    }
}
