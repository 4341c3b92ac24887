//! Reading a spanned TOML document against its declaration: every mistake is found, none stops the reading.
//!
//! A [`Value`] is asked for what its declaration says it is; what was wrong has been noted with its position. No message
//! quotes a value. Does not know what any key is for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::key::{KeySpec, Kind};
use super::problem::{Finding, did_you_mean, nearest};
use super::referenced_files::Environment;
use super::table::Table;
use super::value;
use crate::limits::Memory;
use crate::runtime::file_watch::FileStamp;

/// What all tables of one file share.
pub(super) struct Reader<'a> {
    /// The folder that relative paths start from.
    pub(super) folder: &'a Path,
    pub(super) environment: &'a Environment<'a>,
    problems: RefCell<Vec<Finding>>,
    /// Every file that was read, as it looked just before.
    pub(super) read: RefCell<Vec<ReferencedFile>>,
    /// Every key that was asked for, so that a test can compare them with the declared ones.
    pub(super) asked: RefCell<BTreeSet<String>>,
}

/// A file that the configuration was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReferencedFile {
    pub(super) path: PathBuf,
    /// How it looked just before it was read.
    pub(super) stamp: Option<FileStamp>,
    /// Whether something else follows its changes while the gateway runs.
    pub(super) is_followed: bool,
}

/// Where a value stands.
#[derive(Clone, Debug)]
pub(super) struct Location {
    pub(super) at: usize,
    /// As a problem names it: `routes[2].auth`.
    pub(super) key: String,
    /// As declarations name it: `routes[].auth`.
    pub(super) pattern: String,
}

/// A value in the file, and what was expected there.
#[derive(Clone)]
pub(super) struct Value<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) place: Location,
    pub(super) kind: &'static Kind,
    pub(super) value: &'a DeValue<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(folder: &'a Path, environment: &'a Environment<'a>) -> Self {
        Self { folder, environment, problems: RefCell::default(), read: RefCell::default(), asked: RefCell::default() }
    }

    /// The document itself.
    pub(super) fn root(&'a self, keys: &'static [KeySpec], entries: &'a DeTable<'a>) -> Table<'a> {
        let place = Location { at: 0, key: String::new(), pattern: String::new() };
        Table::open(self, place, keys, entries)
    }

    /// Everything found so far, and the keys that were asked for.
    pub(super) fn finish(&self) -> (Vec<Finding>, BTreeSet<String>) {
        (self.problems.take(), self.asked.take())
    }

    pub(super) fn note(&self, place: &Location, message: impl Into<String>) {
        self.problems.borrow_mut().push(Finding { at: place.at, key: place.key.clone(), message: message.into() });
    }
}

impl Location {
    pub(super) fn child(&self, at: usize, name: &str, pattern: &str) -> Self {
        let dot = if self.key.is_empty() { "" } else { "." };
        let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let shown = if is_bare { name.to_owned() } else { format!("{name:?}") };
        Self { at, key: format!("{}{dot}{shown}", self.key), pattern: format!("{}{dot}{pattern}", self.pattern) }
    }

    fn item(&self, at: usize, index: usize) -> Self {
        Self { at, key: format!("{}[{index}]", self.key), pattern: format!("{}[]", self.pattern) }
    }
}

impl<'a> Value<'a> {
    /// Notes a problem here.
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.reader.note(&self.place, message);
    }

    fn expected<T>(&self) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.problem(format!("expected {}, found {found}", self.kind.expected()));
        None
    }

    pub(super) fn flag(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.expected())
    }

    pub(super) fn integer(&self) -> Option<u64> {
        let Kind::Integer { least, most } = self.kind else { unreachable!("declared as a whole number") };
        let DeValue::Integer(integer) = self.value else { return self.expected() };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| u64::try_from(number).ok()).filter(|n| (least..=most).contains(&n));
        if number.is_none() {
            self.problem(format!("must be between {least} and {most}"));
        }
        number
    }

    /// The text of a value that is written as a string, after `parse`.
    fn parsed<T>(&self, parse: impl Fn(&str) -> Result<T, value::MalformedValue>) -> Option<T> {
        let DeValue::String(text) = self.value else { return self.expected() };
        parse(text)
            .map_err(|malformed| self.problem(format!("{}{}", malformed.message, did_you_mean(malformed.suggestion))))
            .ok()
    }

    pub(super) fn duration(&self) -> Option<Duration> {
        let Kind::Duration { least, most, off } = self.kind else { unreachable!("declared as a duration") };
        let bound = |text: &str| value::duration(text).expect("declared bounds can be read: a test reads all");
        let duration = self.parsed(value::duration)?;
        if (*off && duration.is_zero()) || (bound(least)..=bound(most)).contains(&duration) {
            return Some(duration);
        }
        let zero = if *off { "0s, or " } else { "" };
        self.problem(format!("must be {zero}between {least} and {most}"));
        None
    }

    pub(super) fn size(&self) -> Option<u64> {
        let Kind::Size { least, most } = self.kind else { unreachable!("declared as a size") };
        let bound = |text: &str| value::size(text).expect("declared bounds can be read: a test reads all");
        let size = self.parsed(value::size)?;
        if (bound(least)..=bound(most)).contains(&size) {
            return Some(size);
        }
        self.problem(format!("must be between {least} and {most}"));
        None
    }

    pub(super) fn memory(&self) -> Option<Memory> {
        /// Less than the gateway itself needs would refuse everyone.
        const LEAST: u64 = 32 << 20;
        let memory = self.parsed(value::memory)?;
        if matches!(memory, Memory::Bytes(bytes) if bytes < LEAST) {
            self.problem("must be at least 32MiB");
            return None;
        }
        Some(memory)
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        let DeValue::String(text) = self.value else { return self.expected() };
        if text.is_empty() {
            self.problem("is empty");
            return None;
        }
        Some(text)
    }

    pub(super) fn scalar(&self) -> Option<serde_json::Value> {
        match self.value {
            DeValue::Boolean(flag) => Some((*flag).into()),
            DeValue::Integer(integer) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                if number.is_none() {
                    self.problem("is too large a number");
                }
                number.map(serde_json::Value::from)
            }
            DeValue::String(_) => self.text().map(serde_json::Value::from),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => self.expected(),
        }
    }

    pub(super) fn choice(&self) -> Option<&'static str> {
        let Kind::Choice(choices) = self.kind else { unreachable!("declared as a choice") };
        let DeValue::String(text) = self.value else { return self.expected() };
        let found = choices.iter().copied().find(|choice| choice == text);
        if found.is_none() {
            let meant = nearest(text, choices.iter().copied());
            self.problem(format!("expected {}{}", self.kind.expected(), did_you_mean(meant)));
        }
        found
    }

    pub(super) fn table(&self) -> Option<Table<'a>> {
        let Kind::Table(keys) = self.kind else { unreachable!("declared as a table") };
        let DeValue::Table(entries) = self.value else { return self.expected() };
        Some(Table::open(self.reader, self.place.clone(), keys, entries))
    }

    /// As [`table`](Self::table), for a table whose name is referred to: its users shall not be blamed.
    pub(super) fn table_or_wrong(&self) -> Table<'a> {
        let wrong = || Table::wrong(self.reader, self.place.clone(), self.kind.keys());
        self.table().unwrap_or_else(wrong)
    }

    pub(super) fn items(&self) -> Vec<Value<'a>> {
        let Kind::List(kind) = self.kind else { unreachable!("declared as an array") };
        let DeValue::Array(items) = self.value else { return self.expected().unwrap_or_default() };
        let place = |(index, item): (usize, &toml::Spanned<DeValue<'_>>)| self.place.item(item.span().start, index);
        let values = items.iter().enumerate().map(|(index, item)| (place((index, item)), item.get_ref()));
        values.map(|(place, value)| Value { reader: self.reader, place, kind, value }).collect()
    }

    pub(super) fn entries(&self) -> Vec<(&'a str, Value<'a>)> {
        let Kind::Map(kind) = self.kind else { unreachable!("declared as a table of names") };
        let DeValue::Table(entries) = self.value else { return self.expected().unwrap_or_default() };
        let place = |name: &str, at| self.place.child(at, name, "*");
        let mut found: Vec<_> = entries
            .iter()
            .map(|(name, value)| {
                let place = place(name.get_ref(), value.span().start);
                let name: &'a str = name.get_ref();
                (name, Value { reader: self.reader, place, kind, value: value.get_ref() })
            })
            .collect();
        // In the order of the file: a map would sort them by name.
        found.sort_by_key(|(_, value)| value.place.at);
        found
    }

    /// The one of several declared kinds that stands here.
    pub(super) fn alternative(&self) -> Option<Value<'a>> {
        let Kind::Either(kinds) = self.kind else { unreachable!("declared as one of several") };
        match kinds.iter().find(|kind| may_be(kind, self.value)) {
            Some(kind) => Some(Value { kind, ..self.clone() }),
            None => self.expected(),
        }
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }
}

/// Whether a value of this TOML type may be of the declared kind, where several are declared.
pub(super) fn may_be(kind: &Kind, value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Table(_) => matches!(kind, Kind::Table(_)),
        DeValue::Array(_) => matches!(kind, Kind::List(_)),
        DeValue::String(_) => !matches!(kind, Kind::Table(_) | Kind::List(_)),
        DeValue::Integer(_) => matches!(kind, Kind::Integer { .. } | Kind::Scalar),
        DeValue::Boolean(_) => matches!(kind, Kind::Flag | Kind::Scalar),
        DeValue::Float(_) | DeValue::Datetime(_) => false,
    }
}
