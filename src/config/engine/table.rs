//! A table of the file, and the keys that it declares.
//!
//! Malformed, missing and unknown keys are reported. An absent key has its default.

use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::key::{KeySpec, Kind, Presence};
use super::problem::{did_you_mean, nearest};
use super::reader::{Location, Reader};
use super::value::{FromDefault, FromValue, List, Map, OneOf, Value};

/// A table with declared keys. If the file does not contain the table, every key has its default.
pub(crate) struct Table<'a> {
    reader: &'a Reader<'a>,
    location: Location,
    keys: &'static [KeySpec],
    entries: Option<&'a DeTable<'a>>,
    /// Whether the file has a value of another type here. Missing keys are then not reported.
    is_placeholder: bool,
}

/// A table with one field per key. The macro [`keys`](super::keys) implements it.
pub(crate) trait Keys<'a>: Sized {
    const KEYS: &'static [KeySpec];

    fn new(table: &Table<'a>) -> Self;
}

/// The entry of a declared key in its table, or its absence.
pub(crate) struct KeyEntry<'a> {
    pub(crate) reader: &'a Reader<'a>,
    /// The location of the value, or of the table if the key is absent.
    location: Location,
    spec: &'static KeySpec,
    value: Option<&'a DeValue<'a>>,
    is_in_placeholder: bool,
}

/// A key of a table, which is read as `T`. `D` is [`HasDefault`] if the declaration has a default.
pub(crate) struct Key<'a, T = &'a str, D = ()> {
    entry: KeyEntry<'a>,
    read_as: PhantomData<fn() -> (T, D)>,
}

/// Marks a [`Key`] whose declaration has a default.
pub(crate) struct HasDefault;

impl<'a> Table<'a> {
    /// Reports the keys that are not declared.
    fn new(reader: &'a Reader<'a>, location: Location, keys: &'static [KeySpec], entries: &'a DeTable<'a>) -> Self {
        for name in entries.keys() {
            if keys.iter().any(|key| key.name == name.get_ref()) {
                continue;
            }
            let inside = |key: &&KeySpec| key.kind.keys().iter().any(|inner| inner.name == name.get_ref());
            let meant = nearest(name.get_ref(), keys.iter().map(|key| key.name)).map(str::to_owned);
            let meant =
                meant.or_else(|| keys.iter().find(inside).map(|key| format!("{}.{}", key.name, name.get_ref())));
            let location = location.child(name.span().start, name.get_ref());
            reader.report(&location, format!("unknown key{}", did_you_mean(meant)));
        }
        Self { reader, location, keys, entries: Some(entries), is_placeholder: false }
    }

    /// Returns the key `name`, which is declared.
    pub(crate) fn key<T, D>(&self, name: &str) -> Key<'a, T, D> {
        let spec = self.keys.iter().find(|key| key.name == name).expect("`keys!` declares every field");
        let entry = self.entries.and_then(|entries| entries.get(name));
        let offset = entry.map_or(self.location.offset, |entry| entry.span().start);
        let location = self.location.child(offset, name);
        let value = entry.map(toml::Spanned::get_ref);
        let entry = KeyEntry { reader: self.reader, location, spec, value, is_in_placeholder: self.is_placeholder };
        Key { entry, read_as: PhantomData }
    }
}

impl KeyEntry<'_> {
    /// Returns true if the file contains the key.
    pub(crate) fn is_given(&self) -> bool {
        self.value.is_some()
    }

    /// Reports a problem at the value, or at the table if the key is absent.
    pub(crate) fn report(&self, message: impl Into<String>) {
        self.reader.report(&self.location, message);
    }
}

impl<'a, T, D> Deref for Key<'a, T, D> {
    type Target = KeyEntry<'a>;

    fn deref(&self) -> &KeyEntry<'a> {
        &self.entry
    }
}

impl<'a, T, D> Key<'a, T, D> {
    /// Returns the value, or `None` if the key is absent. Reports a required key that is absent.
    pub(crate) fn value(&self) -> Option<Value<'a, T>> {
        if !self.is_given() && self.spec.presence == Presence::Required && !self.is_in_placeholder {
            self.report("missing required key");
        }
        self.value.map(|value| Value::new(self.reader, self.location.clone(), &self.spec.kind, value))
    }
}

impl<'a, T: FromValue<'a>, D> Key<'a, T, D> {
    /// Reads the value. `None`: absent or malformed.
    pub(crate) fn read(&self) -> Option<T> {
        self.value()?.read()
    }
}

impl<'a, T: FromValue<'a> + FromDefault> Key<'a, T, HasDefault> {
    /// Reads the value. Returns the default if it is absent or malformed.
    pub(crate) fn get(&self) -> T {
        let given = self.read().or_else(|| T::from_default(self.spec.default_text()));
        given.expect("declared defaults are valid: a test reads all of them")
    }
}

impl Key<'_, Duration, HasDefault> {
    /// Reads the duration. Returns `None` if it is zero.
    pub(crate) fn nonzero(&self) -> Option<Duration> {
        Some(self.get()).filter(|duration| !duration.is_zero())
    }
}

impl<'a, T: FromValue<'a>, D> Key<'a, List<'a, T>, D> {
    /// Returns the items; none if the array is absent.
    pub(crate) fn items(&self) -> List<'a, T> {
        self.read().unwrap_or_default()
    }

    /// Returns the items. Reports an array that is empty.
    pub(crate) fn nonempty_items(&self) -> List<'a, T> {
        let items = self.read();
        if items.as_ref().is_some_and(Vec::is_empty) {
            self.report("must not be empty");
        }
        items.unwrap_or_default()
    }
}

impl<'a, T: FromValue<'a>, D> Key<'a, Map<'a, T>, D> {
    /// Returns the entries; none if the table is absent.
    pub(crate) fn entries(&self) -> Map<'a, T> {
        self.read().unwrap_or_default()
    }
}

impl<'a> Key<'a, OneOf<'a, &'a str, List<'a, &'a str>>, HasDefault> {
    /// Parses one string or an array of strings with `parse`. Returns the default if the key is absent.
    pub(crate) fn strings(&self, parse: impl Fn(&Value<'a>, &str) -> Option<String>) -> Vec<String> {
        let Some(given) = self.value() else {
            return serde_json::from_str(self.spec.default_text())
                .expect("the default of a list is an array: a test reads all of them");
        };
        let Some(items) = given.read().map(OneOf::items) else { return Vec::new() };
        if items.is_empty() {
            given.report("must not be empty");
        }
        items.iter().filter_map(|value| parse(value, value.read()?)).collect()
    }
}

impl<'a, T: Keys<'a>, D> Key<'a, T, D> {
    /// Returns the table. If it is absent or malformed, every key has its default.
    pub(crate) fn table(&self) -> T {
        self.read().unwrap_or_else(|| {
            let is_placeholder = self.is_given() || self.is_in_placeholder;
            absent(self.reader, &self.location, is_placeholder)
        })
    }
}

impl<'a, T: Keys<'a>> Value<'a, T> {
    /// Returns the table, or a stand-in if the value is malformed. Routes may refer to the table by name even then, so
    /// that only its own problem is reported.
    pub(crate) fn table(&self) -> T {
        self.read().unwrap_or_else(|| absent(self.reader, &self.location, true))
    }
}

fn absent<'a, T: Keys<'a>>(reader: &'a Reader<'a>, location: &Location, is_placeholder: bool) -> T {
    T::new(&Table { reader, location: location.clone(), keys: T::KEYS, entries: None, is_placeholder })
}

impl<'a, T: Keys<'a>> FromValue<'a> for T {
    const KIND: Kind = Kind::Table(T::KEYS);

    fn from_value(value: &Value<'a, Self>) -> Option<Self> {
        let DeValue::Table(entries) = value.toml else { return value.type_mismatch() };
        Some(T::new(&Table::new(value.reader, value.location.clone(), T::KEYS, entries)))
    }
}

impl<'a> Reader<'a> {
    /// Reads the root table of the document.
    pub(crate) fn root<T: Keys<'a>>(&'a self, entries: &'a DeTable<'a>) -> T {
        let location = Location { offset: 0, key: String::new() };
        T::new(&Table::new(self, location, T::KEYS, entries))
    }
}
