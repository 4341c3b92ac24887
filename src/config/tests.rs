//! The declarations, the reader, the schema and the files in `config/` agree with each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::engine::{KeySpec, Kind, Presence};
use super::tables::KEYS;
use super::*;

/// A folder with every file that is referenced by the configurations here and in `config/`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder"));
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        for (chain, key) in [("server.pem", "server.key"), ("tls/server.pem", "tls/server.key")] {
            folder.write(chain, cert.pem().as_bytes());
            folder.write(key, signing_key.serialize_pem().as_bytes());
        }
        folder.write("tls/internal-ca.pem", cert.pem().as_bytes());
        folder.write("jwks.json", br#"{"keys":[]}"#);
        folder.write("revocations.toml", b"");
        folder.write("dev-hmac.key", &[7; 32]);
        folder.write("secrets/prices-authorization", b"Bearer abc\n");
        folder
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }

    fn read(&self, text: &str) -> Result<Config, Problems> {
        read(text, &self.0.path().join("rillgate.toml"), &|_| None)
    }

    fn config(&self, text: &str) -> Config {
        self.read(text).unwrap_or_else(|problems| panic!("{problems}"))
    }
}

impl std::ops::Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        self.0.path()
    }
}

/// Returns the files in `config/`.
fn shipped() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let paths = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let is_toml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    paths.filter(is_toml).map(|path| (path.clone(), std::fs::read_to_string(path).expect("readable"))).collect()
}

/// Returns the text of the annotated reference.
fn reference() -> String {
    let is_reference = |(path, _): &(PathBuf, String)| path.ends_with("rillgate.toml");
    shipped().into_iter().find(is_reference).expect("the annotated reference").1
}

#[test]
fn every_shipped_file_is_valid() {
    let folder = Folder::new();
    let files = shipped();

    for (path, text) in &files {
        let config = folder.read(text);
        assert!(config.is_ok(), "{}: {}", path.display(), config.expect_err("refused"));
    }

    assert!(files.len() >= 4, "only {} files", files.len());
}

#[test]
fn the_reference_shows_the_defaults() {
    let folder = Folder::new();
    let minimal = r#"
        listeners = [{ name = "public", address = "0.0.0.0:8443", tls = { certificates = [
            { chain = "server.pem", key = "server.key" },
        ] } }]
        admin = {}
        issuers.main.issuer = "https://id.example.com/"
        issuers.main.audience = ["rillgate"]
        issuers.main.keys = [{ jwks_url = "https://id.example.com/jwks.json" }]
        upstreams.prices.urls = ["http://127.0.0.1:9000"]
        routes = [{ name = "prices", path = "/prices/{symbol}", upstream = "prices", auth = { issuers = ["main"] } }]
    "#;

    let (mut written, mut implied) = (folder.config(&reference()), folder.config(minimal));
    // These two depend on which keys are present.
    (written.effective, implied.effective) = Default::default();
    (written.configured_sockets, implied.configured_sockets) = (0, 0);

    assert_eq!(format!("{written:#?}"), format!("{implied:#?}"));
}

#[test]
fn declared_defaults_are_those_of_other_modules() {
    let config = Folder::new().config(include_str!("../../config/minimal.toml"));
    let route = &config.routes[0];

    assert_eq!(route.stream, crate::stream::Policy::default());
    assert_eq!(route.share, route::ShareSettings::default());
    assert_eq!(route.stream.backoff, crate::runtime::backoff::Backoff::default());
    assert_eq!(config.admin, None);
    assert!(config.workers > 0);
}

/// Collects the paths of all declared keys, with `[]` for items and `*` for user-chosen names.
fn declared(keys: &'static [KeySpec], path: &str, found: &mut BTreeSet<String>) {
    fn inside(kind: &'static Kind, path: &str, found: &mut BTreeSet<String>) {
        match kind {
            Kind::Table(keys) => declared(keys, path, found),
            Kind::List(item) => inside(item, &format!("{path}[]"), found),
            Kind::Map(value) => inside(value, &format!("{path}.*"), found),
            Kind::OneOf(kinds) => kinds.iter().for_each(|kind| inside(kind, path, found)),
            Kind::Bool
            | Kind::Integer { .. }
            | Kind::Duration { .. }
            | Kind::Size { .. }
            | Kind::Memory
            | Kind::String
            | Kind::Scalar
            | Kind::Enum(_) => {}
        }
    }
    for key in keys {
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        assert!(key.description.ends_with(['.', '"']), "{path}: {}", key.description);
        inside(&key.kind, &path, found);
        assert!(found.insert(path), "{} is declared twice", key.name);
    }
}

/// Collects the paths of all keys in a schema.
fn described(schema: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        assert!(property["description"].is_string(), "{path} has no description");
        described(property, &path, found);
        found.insert(path);
    }
    schema.get("items").inspect(|items| described(items, &format!("{path}[]"), found));
    let values = schema.get("additionalProperties").filter(|values| values.is_object());
    values.inspect(|values| described(values, &format!("{path}.*"), found));
    schema["anyOf"].as_array().into_iter().flatten().for_each(|one| described(one, path, found));
}

/// Collects the paths of all keys in a file.
fn written(value: &toml::Value, kind: Option<&'static Kind>, path: &str, found: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let is_chosen = matches!(kind, Some(Kind::Map(_)));
                let name = if is_chosen { "*" } else { name };
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                let kind = match kind {
                    Some(Kind::Map(value)) => Some(*value),
                    Some(kind) => kind.keys().iter().find(|key| key.name == name).map(|key| &key.kind),
                    None => KEYS.iter().find(|key| key.name == name).map(|key| &key.kind),
                };
                written(value, kind, &path, found);
                if !is_chosen {
                    found.insert(path);
                }
            }
        }
        toml::Value::Array(items) => {
            let kind = match kind {
                Some(Kind::List(item)) => Some(*item),
                _ => None,
            };
            items.iter().for_each(|item| written(item, kind, &format!("{path}[]"), found));
        }
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
}

#[test]
fn the_schema_knows_exactly_the_declared_keys() {
    let mut keys = BTreeSet::new();
    declared(KEYS, "", &mut keys);

    let mut in_schema = BTreeSet::new();
    described(&schema(), "", &mut in_schema);

    assert!(keys.len() > 120, "{} keys", keys.len());
    assert_eq!(in_schema, keys, "in the schema, and declared");
}

#[test]
fn the_reference_explains_every_key() {
    let mut keys = BTreeSet::new();
    declared(KEYS, "", &mut keys);
    let text = reference();
    let mut in_reference = BTreeSet::new();
    let document: toml::Value = toml::from_str(&text).expect("TOML");
    written(&document, None, "", &mut in_reference);

    assert!(in_reference.is_subset(&keys), "{:?}", in_reference.difference(&keys));
    for key in keys.difference(&in_reference) {
        let name = key.rsplit('.').next().expect("a name");
        let is_there = text.lines().any(|line| {
            line.starts_with('#')
                && (line.contains(&format!("{name} = "))
                    || line.ends_with(&format!("{name}]"))
                    || line.contains(&format!("[{name}]"))
                    || line.contains(&format!(".{name}]")))
        });
        assert!(is_there, "{key} is not in config/rillgate.toml");
    }
}

#[test]
fn the_reference_names_the_bounds_that_are_declared() {
    fn bounded(keys: &'static [KeySpec], found: &mut Vec<(&'static str, String)>) {
        for key in keys.iter().filter(|key| key.name != "read_through_limit") {
            match key.kind {
                Kind::Integer { min, max } => found.push((key.name, format!("{min} to {max}"))),
                Kind::Size { min, max } => found.push((key.name, format!("{min} to {max}"))),
                Kind::Duration { min, max, .. } => found.push((key.name, format!("{min} to {max}"))),
                Kind::Table(_) | Kind::List(_) | Kind::Map(_) | Kind::OneOf(_) => bounded(key.kind.keys(), found),
                Kind::Bool | Kind::Memory | Kind::String | Kind::Scalar | Kind::Enum(_) => {}
            }
        }
    }
    let mut keys = Vec::new();
    bounded(KEYS, &mut keys);
    let text = reference();

    for (name, bounds) in &keys {
        let from_zero = format!("0s to {}", bounds.rsplit(' ').next().expect("the upper bound"));
        let is_told = |line: &str| line.contains(bounds.as_str()) || line.contains(&from_zero);
        let names = |line: &str| line.contains(&format!("{name} = ")) || line.starts_with(&format!("# {name}, "));
        assert!(text.lines().any(|line| names(line) && is_told(line)), "{name}: {bounds}");
    }

    assert!(keys.len() > 30, "{} keys", keys.len());
}

#[test]
fn the_schema_has_the_defaults() {
    let schema = schema();
    let heartbeat = &schema["properties"]["routes"]["items"]["properties"]["delivery"]["properties"]["heartbeat"];

    assert_eq!(heartbeat["default"], "15s");
    assert_eq!(schema["properties"]["limits"]["properties"]["connections"]["default"], 100_000);
    assert_eq!(schema["required"], serde_json::json!(["listeners"]));
    assert!(KEYS.iter().all(|key| !matches!(key.presence, Presence::Default(_))));
}

#[test]
fn the_effective_default_of_several_names_is_a_list() {
    let minimal = Folder::new().config(include_str!("../../config/minimal.toml"));

    let query_id = &minimal.effective["routes"][0]["replay"]["query_id"];
    assert_eq!(*query_id, serde_json::json!(["last_event_id", "lastEventId"]));
}

#[test]
fn a_default_is_clamped_to_explicit_values() {
    let folder = Folder::new();
    let text = "server.drain.deadline = \"1s\"\n".to_owned()
        + &include_str!("../../config/minimal.toml").replace("[[routes]]", "backoff.max = \"100ms\"\n[[routes]]");

    let config = folder.config(&text);

    assert_eq!(config.drain.spread, Duration::from_secs(1));
    assert_eq!(config.upstreams["events"].backoff.initial, Duration::from_millis(100));
}

#[test]
fn a_percentage_of_memory_is_resolved_when_the_file_is_read() {
    let folder = Folder::new();
    let minimal = include_str!("../../config/minimal.toml");
    let memory = |value: &str| folder.config(&format!("{minimal}\n[limits]\nmemory = \"{value}\"\n")).limits.memory;

    assert_eq!(memory("64MiB"), Some(64 << 20));
    assert_eq!(memory("50%"), crate::runtime::memory::available().map(|bytes| bytes / 100 * 50));
}

#[test]
fn the_summary_lists_listeners_upstreams_and_routes_and_warns() {
    let folder = Folder::new();

    let summary = folder.config(include_str!("../../config/minimal.toml")).summary();

    let expected = [
        "listener 127.0.0.1:8080: 127.0.0.1:8080, plain",
        "upstream events: http://127.0.0.1:9000",
        "route events: /events from events, public, keeps 1000 events or 8192 KiB or 600s in memory",
        "warning: no [admin] table: health checks and metrics are unavailable",
        "warning: route events is public",
        "warning: listener 127.0.0.1:8080 has no TLS: tokens are sent in clear text",
    ];
    assert_eq!(summary.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_revocation_file_may_be_large_and_its_problems_have_a_position_in_it() {
    let folder = Folder::new();
    let text = "revocations.file = \"revocations.toml\"\n".to_owned() + include_str!("../../config/minimal.toml");
    let comments = "# four mebibytes are the bound of other files\n".repeat(100_000);

    folder.write("revocations.toml", comments.as_bytes());
    assert_eq!(folder.config(&text).revocations.file, Some(folder.join("revocations.toml")));

    folder.write("revocations.toml", b"[[revocations]]\nsubject = \"hush\"\n");
    let problems = folder.read(&text).expect_err("an unknown key").to_string();
    let words = "1:20: revocations.file: line 2, column 1 of the file: unknown key";
    assert!(problems.contains(words) && !problems.contains("hush"), "{problems}");
}
