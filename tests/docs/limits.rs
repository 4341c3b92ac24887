//! docs/limits.md lists every bound: keys with the schema's default, constants with their value in the sources.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{read, root};
use crate::support::server::Rillgate;

/// A row of a table: the bound, its key or constant, its value, and what happens at it.
struct Row {
    place: String,
    value: String,
}

impl Row {
    /// Returns the code spans that name the bound's source.
    fn names(&self) -> Vec<&str> {
        self.place.split('`').skip(1).step_by(2).collect()
    }

    /// Returns name and file of a fixed bound.
    fn constant(&self) -> Option<(&str, &str)> {
        let names = self.names();
        (names.len() == 2 && self.place.contains("` in `")).then(|| (names[0], names[1]))
    }

    /// Returns the key of a configurable bound.
    fn key(&self) -> Option<&str> {
        self.names()
            .first()
            .copied()
            .filter(|name| self.constant().is_none() && !self.place.starts_with("fixed") && name.contains('.'))
    }
}

fn rows() -> Vec<Row> {
    let page = read(Path::new("docs/limits.md"));
    let lines = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = lines.filter(|line| !line.starts_with("bound |")).map(|line| {
        let cells: Vec<_> = line.split(" | ").collect();
        let [_, place, value, _] = cells[..] else { panic!("four cells: {line}") };
        Row { place: place.to_owned(), value: value.to_owned() }
    });
    rows.collect()
}

fn schema() -> Value {
    serde_json::from_slice(&Rillgate::command().arg("schema").output().unwrap().stdout).unwrap()
}

/// Returns the schema of a key with the name used on the page, without `[]` and `NAME`.
fn find<'s>(schema: &'s Value, key: &str) -> Option<&'s Value> {
    let Some((first, rest)) = key.split_once('.') else { return inside(schema, key) };
    find(inside(schema, first)?, rest)
}

fn inside<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    let alternatives = schema["anyOf"].as_array().into_iter().flatten();
    let nested = [&schema["items"], &schema["additionalProperties"]].into_iter().filter(|inner| inner.is_object());
    schema["properties"].get(name).or_else(|| alternatives.chain(nested).find_map(|inner| inside(inner, name)))
}

#[test]
fn every_limit_key_is_listed_with_its_default() {
    let (schema, rows) = (schema(), rows());

    for row in rows.iter().filter(|row| row.constant().is_none() && !row.place.starts_with("fixed")) {
        let key = row.key().unwrap_or_else(|| panic!("neither a key nor a constant: {}", row.place));
        let known = find(&schema, key).unwrap_or_else(|| panic!("{key} is no key"));
        let default = known["default"].as_str().map_or_else(|| known["default"].to_string(), str::to_owned);
        assert_eq!(row.value, format!("`{default}`"), "{key}");
    }

    let limits = schema["properties"]["limits"]["properties"].as_object().unwrap();
    let keys = limits.iter().flat_map(|(name, limit)| match limit["properties"].as_object() {
        Some(inner) => inner.keys().map(|inner| format!("limits.{name}.{inner}")).collect(),
        None => vec![format!("limits.{name}")],
    });
    for key in keys {
        assert!(rows.iter().any(|row| row.key() == Some(&key)), "{key} is not in docs/limits.md");
    }
}

/// An amount with its dimension, so that seconds do not equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Count(u64),
    Time(Duration),
}

/// Parses a value of the page, such as `64 KiB`, `10,000`, `10 lines`, `5 min`.
fn said(text: &str) -> Option<Amount> {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number: u64 = number.replace(',', "").parse().ok()?;
    Some(match unit {
        "KiB" => Amount::Count(number << 10),
        "MiB" => Amount::Count(number << 20),
        "µs" => Amount::Time(Duration::from_micros(number)),
        "ms" => Amount::Time(Duration::from_millis(number)),
        "s" => Amount::Time(Duration::from_secs(number)),
        "min" => Amount::Time(Duration::from_secs(60 * number)),
        _ => Amount::Count(number),
    })
}

/// Evaluates an expression of the sources: numbers with `+`, `*` and `<<`, alone or in a `Duration`.
fn meant(expression: &str) -> Option<Amount> {
    let within = |name: &str| expression.strip_prefix(name)?.strip_suffix(')').and_then(number);
    let seconds = within("Duration::from_secs(").map(Duration::from_secs);
    let time = seconds.or_else(|| within("Duration::from_millis(").map(Duration::from_millis));
    let time = time.or_else(|| within("Duration::from_micros(").map(Duration::from_micros));
    time.map(Amount::Time).or_else(|| number(expression).map(Amount::Count))
}

fn number(expression: &str) -> Option<u64> {
    let both = |(left, right): (&str, &str)| number(left.trim()).zip(number(right.trim()));
    if let Some(parts) = expression.split_once('+') {
        return both(parts).map(|(left, right)| left + right);
    }
    if let Some(parts) = expression.split_once("<<") {
        return both(parts).map(|(left, right)| left << right);
    }
    if let Some(parts) = expression.split_once('*') {
        return both(parts).map(|(left, right)| left * right);
    }
    expression.replace('_', "").parse().ok()
}

#[test]
fn amounts_are_compared_by_value() {
    assert_eq!(said("18 KiB"), meant("16 * 1024 + 2048"));
    assert_eq!(said("10,000"), meant("10_000"));
    assert_eq!(said("5 min"), meant("Duration::from_secs(5 * 60)"));
    assert_eq!(said("16 MiB"), meant("16 << 20"));
    assert_ne!(said("10 s"), meant("10"));
    assert_eq!(meant("OTHER.checked_div(8)"), None);
}

/// A constant of the sources.
struct Constant {
    file: PathBuf,
    name: String,
    expression: String,
    /// Its comment's first words.
    comment: String,
}

impl Constant {
    /// Whether its name or comment says that it is a bound.
    fn bounds(&self) -> bool {
        let beginnings = ["MAX", "MOST", "LONGEST", "LARGEST"];
        let ends = ["_BYTES", "_TIMEOUT", "_CHARS", "_CHARACTERS", "_PATIENCE"];
        let words = ["Most ", "The most ", "At most ", "Longest ", "The longest ", "Largest ", "How long "];
        beginnings.iter().any(|beginning| self.name.starts_with(beginning))
            || ends.iter().any(|end| self.name.ends_with(end))
            || words.iter().any(|word| self.comment.starts_with(word))
    }
}

/// Returns all constants outside of tests, in order.
fn constants() -> Vec<Constant> {
    let mut found = Vec::new();
    for file in sources(&root().join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let mut comment = None;
        for line in text.lines().map(str::trim) {
            if let Some(words) = line.strip_prefix("///") {
                comment.get_or_insert_with(|| words.trim().to_owned());
                continue;
            }
            let declared =
                line.split_once("const ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
            let parts =
                declared.and_then(|(_, rest)| rest.split_once(": ")?.1.split_once(" = ").zip(rest.split(':').next()));
            if let Some(((_, expression), name)) = parts {
                found.push(Constant {
                    file: file.strip_prefix(root().join("src")).unwrap().to_owned(),
                    name: name.to_owned(),
                    expression: expression.trim_end_matches(';').to_owned(),
                    comment: comment.take().unwrap_or_default(),
                });
            }
            comment = None;
        }
    }
    assert!(found.len() > 200, "only {} constants", found.len());
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        match entry.is_dir() {
            true if name != "demo" => files.extend(sources(&entry)),
            false if name.ends_with(".rs") && !name.ends_with("tests.rs") => files.push(entry),
            _ => {}
        }
    }
    files.sort();
    files
}

#[test]
fn every_fixed_bound_is_listed_with_its_value() {
    let constants = constants();

    for row in rows() {
        let Some((name, file)) = row.constant() else {
            for file in row.names().into_iter().filter(|name| name.ends_with(".rs")) {
                assert!(root().join("src").join(file).is_file(), "{file} is not there");
            }
            continue;
        };
        let known = constants.iter().find(|known| known.name == name && known.file == Path::new(file));
        let known = known.unwrap_or_else(|| panic!("docs/limits.md: {name} is not in src/{file}"));
        let meant = meant(&known.expression).unwrap_or_else(|| panic!("{name} is {}: no amount", known.expression));
        assert_eq!(said(&row.value), Some(meant), "docs/limits.md: {name} in src/{file} is {}", known.expression);
    }
}

/// Constants that are named like a bound and bound nothing from outside.
const NO_BOUNDS: &[(&str, &str, &str)] = &[
    ("admin/snapshot.rs", "MAX_AGE", "how long a snapshot serves several viewers"),
    ("auth/token/verify.rs", "MAX_TIME", "the last representable date"),
    ("cluster/fake/node.rs", "REQUEST_TIMEOUT", "of the engine in unit tests"),
    ("cluster/tests/client.rs", "LARGEST_FRAME", "of a producer in unit tests"),
    ("cluster/tests/gateway.rs", "OPEN_TIMEOUT", "of a client in unit tests"),
    ("cluster/keys.rs", "TAG_BYTES", "the length of a tag"),
    ("cluster/nodes.rs", "MOST_BETWEEN", "a ratio of leases"),
    ("cluster/record.rs", "ENTRY_BYTES", "an estimate of what an entry adds"),
    ("cluster/record.rs", "HEAD_BYTES", "an estimate of the fixed part of a record"),
    ("coding/framing.rs", "ZSTD_BLOCK", "the size of blocks that a format asks for"),
    ("config/tables/cluster.rs", "MIN_KEY_BYTES", "the least length of a key"),
    ("http/request/accept_encoding.rs", "MAX_WEIGHT", "the weight of a member without one"),
    ("http/request/trace.rs", "TRACE_BYTES", "the length of an id"),
    ("http/request/trace.rs", "SPAN_BYTES", "the length of an id"),
    ("listen/proxy/header.rs", "MIN_BYTES", "the shortest possible header"),
    ("listen/proxy/header.rs", "V2_FIXED_BYTES", "the length of the fixed part of a header"),
    ("listen/http2/connection.rs", "CHECKS_PER_TIMEOUT", "how often a timeout is checked"),
    ("listen/http1/handoff_io.rs", "UNSENT_BYTES", "the gateway's own unsent bytes"),
    ("listen/tls/stream/client_hello.rs", "READ_BYTES", "the size of a read"),
    ("listen/tls/stream/mod.rs", "READ_BYTES", "the size of a read"),
    ("sse/parser.rs", "LONGEST_NAME", "the length of the known field names"),
    ("stream/feed/answer_content.rs", "MERGED_BYTES", "the size up to which pieces are put together"),
    ("store/persister.rs", "SEGMENT_BYTES", "the size of a segment; the log itself is bounded"),
    ("telemetry/log_queue.rs", "KEPT_BYTES", "the buffer that is kept after a burst"),
];

#[test]
fn every_bounding_constant_is_listed() {
    let (rows, constants) = (rows(), constants());
    let listed = |constant: &Constant| {
        let is_it = |name: &str, file: &str| constant.name == name && constant.file == Path::new(file);
        rows.iter().filter_map(Row::constant).any(|(name, file)| is_it(name, file))
            || NO_BOUNDS.iter().any(|(file, name, _)| is_it(name, file))
    };

    let missing: Vec<_> = constants.iter().filter(|constant| constant.bounds() && !listed(constant)).collect();
    let missing: Vec<_> = missing.iter().map(|it| format!("{} in {}", it.name, it.file.display())).collect();
    assert!(missing.is_empty(), "not in docs/limits.md: {missing:#?}");
    for (file, name, _) in NO_BOUNDS {
        let is_there = constants.iter().any(|it| it.name == *name && it.file == Path::new(file) && it.bounds());
        assert!(is_there, "{name} is not in src/{file}, or does not need its reason");
    }
}
