//! Whole configurations, drawn from the schema that the program prints.
//!
//! Always true: a value with bounds is drawn within the schema's bounds, so a new key needs no change here, and the ends
//! are as likely as all values in between. A string without bounds comes from [`TEXTS`] or [`WORDS`]. Dependencies
//! between keys are left to the program's checks: see [`mend`]. Starts nothing.

use serde_json::Value as Schema;
use toml::{Table, Value};

/// The files and addresses to which a configuration refers.
pub struct Environment {
    /// The upstream's base URL.
    pub upstream: String,
    /// A folder with `server.pem`, `server.key` and `hmac.key`.
    pub files: std::path::PathBuf,
    /// A folder for the store.
    pub store: std::path::PathBuf,
}

/// Draws configurations.
pub struct Draw<'a> {
    pub schema: &'a Schema,
    pub environment: &'a Environment,
    pub rng: fastrand::Rng,
}

/// Keys that are always present: the gateway's address and its upstream.
const ALWAYS: &[&str] =
    &["admin", "admin.address", "listeners[].address", "upstreams", "issuers", "routes", "store.path"];

/// Keys that are never drawn: they name things that a gateway inside a test process does not have.
const NEVER: &[&str] = &["listeners[].systemd", "listeners[].tls.client_ca", "upstreams.*.tls", "revocations.file"];

/// Upper bounds of values that cost the machine and not the gateway: threads, and the time until a drain ends.
const AFFORDABLE: &[(&str, &str)] = &[
    ("server.workers", "4"),
    ("server.drain.notice", "100ms"),
    ("server.drain.spread", "200ms"),
    ("server.drain.deadline", "400ms"),
];

/// Strings with a format of their own, as TOML. `URL`, `FILES` and `STORE` come from the environment; `#` is a counter.
const TEXTS: &[(&str, &[&str])] = &[
    ("admin.address", &["'127.0.0.1:0'"]),
    ("admin.hosts[]", &["'gateway.test'"]),
    ("listeners[].address", &["'127.0.0.1:0'"]),
    ("listeners[].name", &["'l#'"]),
    ("listeners[].trusted_proxies", &["['127.0.0.0/8']", "['10.0.0.0/8', '127.0.0.1/32']"]),
    ("listeners[].tls.certificates", &["[{ chain = 'FILES/server.pem', key = 'FILES/server.key' }]"]),
    ("store.path", &["'STORE'"]),
    // An engine that is away: nothing listens there.
    ("cluster.urls", &["['nats://127.0.0.1:1']", "['tls://127.0.0.1:1', 'nats://127.0.0.1:1']"]),
    ("cluster.name", &["'c#'"]),
    ("cluster.key", &["{ file = 'FILES/hmac.key' }"]),
    ("cluster.credentials", &["{ file = 'FILES/hmac.key' }"]),
    ("cluster.nkey", &["{ file = 'FILES/hmac.key' }"]),
    ("cluster.token", &["{ file = 'FILES/hmac.key' }"]),
    ("cluster.password", &["{ file = 'FILES/hmac.key' }"]),
    ("cluster.tls", &["{}", "{ client_certificate = { chain = 'FILES/server.pem', key = 'FILES/server.key' } }"]),
    (
        "upstreams.*.urls",
        &["['URL']", "['URL']", "['http://127.0.0.1:1', 'URL']", "['URL/base', 'URL']", "['URL/?a=b', 'URL']"],
    ),
    ("upstreams.*.headers.*", &["'value'", "{ file = 'FILES/hmac.key' }", "'ä'"]),
    ("upstreams.*.resume", &["{ query = 'since' }", "{ header = 'Last-Event-ID' }"]),
    ("issuers.*.issuer", &["'https://id.test/'"]),
    ("issuers.*.audience", &["['rillgate']", "['other', 'rillgate']"]),
    (
        "issuers.*.keys",
        &[
            "[{ secret = { file = 'FILES/hmac.key' }, algorithm = 'HS256' }]",
            "[{ secret = { file = 'FILES/hmac.key' }, algorithm = 'HS256', kid = 'k' }]",
        ],
    ),
    ("issuers.*.algorithms", &["['ES256']", "['RS256', 'EdDSA']"]),
    ("issuers.*.audience_claim", &["'client_id'", "'aud'"]),
    ("issuers.*.typ", &["'JWT'", "'at+jwt'"]),
    ("routes[].name", &["'r#'"]),
    ("routes[].path", &["'/{a}'", "'/{a}'", "'/x/{a}'", "'/{a}/y'", "'/{a}/{b}'", "'/{a}/'", "'/w'"]),
    ("routes[].host", &["'localhost'"]),
    ("routes[].upstream", &["'origin'"]),
    ("routes[].upstream_path", &["'/u'", "'/u/{a}'", "'/u?q={a}'", "'/u/'"]),
    ("routes[].auth.issuers", &["['main']"]),
    (
        "routes[].auth.token_from",
        &["['header']", "['cookie:token', 'header']", "['header', 'query:token']", "['header:X-Token', 'header']"],
    ),
    ("routes[].auth.streams_claim", &["'streams'"]),
    ("routes[].auth.require", &["{ scope = 'read' }", "{ level = 3 }", "{ scope = ['read', 'write'] }", "{}"]),
    ("routes[].auth.bind", &["{ a = 'name' }", "{}"]),
    ("routes[].share.query[]", &["'topic'", "'q#'"]),
    ("routes[].share.headers[]", &["'x-share'", "'accept-language'"]),
    ("routes[].share.claims", &["{ x-name = 'name' }", "{}"]),
    ("routes[].replay.start", &["'live'", "'oldest'", "'last:1'", "'last:10000000'"]),
    ("routes[].replay.query_id", &["'last_event_id'", "'since'", "['a', 'last_event_id']"]),
    ("routes[].post.key", &["'each'", "'body'", "'header:X-Key'"]),
    ("routes[].post.forward_headers[]", &["'x-api-key'"]),
    ("routes[].cors.origins", &["['*']", "['https://app.test']", "['capacitor://localhost', 'https://app.test']"]),
    ("routes[].cors.headers[]", &["'datastar-request'"]),
];

/// Values for strings without a known format; invalid ones are refused and removed.
const WORDS: &[&str] = &["a", "1", "x-word", "/w", "live"];

impl Draw<'_> {
    /// A configuration file that has not been checked yet.
    pub fn file(&mut self) -> Table {
        let value = self.value("", self.schema);
        let Value::Table(table) = value else { unreachable!("the schema of a table: {value:?}") };
        table
    }

    fn value(&mut self, key: &str, schema: &Schema) -> Value {
        if let Some((_, texts)) = TEXTS.iter().find(|(known, _)| *known == key) {
            let text = texts[self.rng.usize(..texts.len())];
            return self.filled(text);
        }
        if let Some(choices) = schema["enum"].as_array() {
            return text(choices[self.rng.usize(..choices.len())].as_str().expect("a choice is a string"));
        }
        if let Some(kinds) = schema["anyOf"].as_array() {
            let kind = &kinds[self.rng.usize(..kinds.len())];
            return self.value(key, kind);
        }
        match schema["type"].as_str() {
            Some("boolean") => Value::Boolean(self.rng.bool()),
            Some("integer") => {
                let bound = |name: &str| schema[name].as_i64().unwrap_or_else(|| panic!("{key} has no {name}"));
                let most = affordable(key).map_or(i64::MAX, |text| text.parse().expect("a number"));
                Value::Integer(self.between(bound("minimum").into(), bound("maximum").min(most).into()) as i64)
            }
            Some("string") => self.string(key, schema),
            Some("array") => {
                let count = if ALWAYS.contains(&key) { self.rng.usize(1..=3) } else { self.rng.usize(0..=3) };
                // One listener is enough: a second one would lead to the same routes.
                let count = if key == "listeners" { 1 } else { count };
                let mut items: Vec<Value> = Vec::new();
                for _ in 0..count {
                    let item = self.value(&format!("{key}[]"), &schema["items"]);
                    if !items.contains(&item) {
                        items.push(item);
                    }
                }
                Value::Array(items)
            }
            Some("object") if schema["properties"].is_object() => Value::Table(self.table(key, schema)),
            Some("object") => {
                let name = match key {
                    "issuers" => "main",
                    "upstreams" => "origin",
                    _ => "x-key",
                };
                let value = self.value(&format!("{key}.*"), &schema["additionalProperties"]);
                Value::Table(Table::from_iter([(name.to_owned(), value)]))
            }
            other => panic!("{key}: a type that is not drawn: {other:?}"),
        }
    }

    fn table(&mut self, key: &str, schema: &Schema) -> Table {
        // Some files have few keys, others nearly all.
        let share = [0.1, 0.4, 0.8][self.rng.usize(..3)];
        let mut table = Table::new();
        for (name, property) in schema["properties"].as_object().expect("checked") {
            let inner = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            let is_required = schema["required"].as_array().into_iter().flatten().any(|required| required == name);
            let is_wanted = is_required || ALWAYS.contains(&inner.as_str()) || self.rng.f64() < share;
            if is_wanted && !NEVER.contains(&inner.as_str()) {
                let value = self.value(&inner, property);
                table.insert(name.clone(), value);
            }
        }
        table
    }

    fn string(&mut self, key: &str, schema: &Schema) -> Value {
        let (units, (least, most, has_zero)) = match schema["pattern"].as_str() {
            None => return text(WORDS[self.rng.usize(..WORDS.len())]),
            Some(pattern) if pattern.contains('%') && self.rng.bool() => {
                return text(&format!("{}%", self.rng.u8(1..=100)));
            }
            // The only key without an upper bound.
            Some(pattern) if pattern.contains('%') => (SIZES, (32 << 20, 1 << 40, false)),
            Some(pattern) if pattern.contains("KiB") => (SIZES, bounds(key, schema, SIZES)),
            Some(pattern) if pattern.contains("ms") => (TIMES, bounds(key, schema, TIMES)),
            Some(pattern) => panic!("{key}: a form that is not drawn: {pattern}"),
        };
        let most = affordable(key).map_or(most, |text| scaled(text, units).min(most));
        if has_zero && self.rng.u8(..4) == 0 {
            return text(&format!("0{}", units[0].0));
        }
        let drawn = self.between(least, most);
        let (unit, factor) = units[self.rng.usize(..units.len())];
        // In the unit that a person would use if it is exact; otherwise in the smallest unit.
        match drawn % factor == 0 {
            true => text(&format!("{}{unit}", drawn / factor)),
            false => text(&format!("{}{}", drawn / units[0].1, units[0].0)),
        }
    }

    /// Draws an end of the range, a neighbour of an end, or a value of any magnitude in between.
    fn between(&mut self, least: i128, most: i128) -> i128 {
        let any = {
            let magnitude = self.rng.f64() * ((most - least + 1) as f64).ln();
            least + magnitude.exp() as i128 - 1
        };
        [least, least, most, least + 1, any, any, any][self.rng.usize(..7)].clamp(least, most)
    }

    fn filled(&mut self, text: &str) -> Value {
        let Environment { upstream, files, store } = self.environment;
        let text = text.replace("URL", upstream).replace("FILES", &files.to_string_lossy());
        let text = text.replace("STORE", &store.to_string_lossy()).replace('#', &self.rng.u16(..).to_string());
        let line: Table = format!("value = {text}").parse().expect("the test's own TOML");
        line["value"].clone()
    }
}

/// Removes the key to which the program objects, or the table from which a key is missing. Returns false if neither
/// exists.
pub fn mend(file: &mut Table, key: &str) -> bool {
    let path: Vec<&str> = key.split(['.', '[']).map(|part| part.trim_end_matches(']')).collect();
    let [first, rest @ ..] = path.as_slice() else { return false };
    (0..rest.len()).rev().any(|end| file.get_mut(*first).is_some_and(|value| remove(value, &rest[..=end])))
}

fn remove(place: &mut Value, path: &[&str]) -> bool {
    match (place, path) {
        (Value::Table(table), [last]) => table.remove(*last).is_some(),
        (Value::Table(table), [next, rest @ ..]) => table.get_mut(*next).is_some_and(|value| remove(value, rest)),
        (Value::Array(items), [index, rest @ ..]) => {
            let index = index.parse().expect("an index");
            match (items.get_mut(index), rest) {
                (Some(_), []) => {
                    items.remove(index);
                    true
                }
                (Some(item), rest) => remove(item, rest),
                (None, _) => false,
            }
        }
        (_, _) => false,
    }
}

const TIMES: &[(&str, i128)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: &[(&str, i128)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Parses the bounds at the end of a key's description: `From 10ms to 5m, or 0s.`
fn bounds(key: &str, schema: &Schema, units: &[(&str, i128)]) -> (i128, i128, bool) {
    let words = schema["description"].as_str().unwrap_or_default();
    let said = words.rsplit_once("From ").and_then(|(_, bounds)| {
        let (bounds, zero) = bounds
            .strip_suffix('.')?
            .split_once(", or 0s")
            .map_or((bounds.trim_end_matches('.'), false), |(bounds, _)| (bounds, true));
        let (least, most) = bounds.split_once(" to ")?;
        Some((scaled(least, units), scaled(most, units), zero))
    });
    said.unwrap_or_else(|| panic!("{key}: no bounds in {words:?}"))
}

fn scaled(text: &str, units: &[(&str, i128)]) -> i128 {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or_else(|| panic!("{text} has no unit"));
    let unit = units.iter().find(|(unit, _)| *unit == &text[at..]).unwrap_or_else(|| panic!("{text}: another unit"));
    text[..at].parse::<i128>().expect("digits") * unit.1
}

fn affordable(key: &str) -> Option<&'static str> {
    AFFORDABLE.iter().find(|(known, _)| *known == key).map(|(_, most)| *most)
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}
