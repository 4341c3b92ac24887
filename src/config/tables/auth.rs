//! `auth` of a route: `"public"`, or the rules that a token must satisfy.
//!
//! A route without either is refused: nothing becomes public by omission. Verifies no token.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;

use super::parsers;
use super::references::References;
use crate::auth::{Bound, IssuerSettings, RuleSettings, TokenSource};
use crate::config::engine::{Distinct, KeySpec, Kind, Table, Value, did_you_mean, nearest};
use crate::route::Access;
use crate::route::pattern::PathPattern;

pub(super) const AUTH: &[KeySpec] = &[
    KeySpec::required("issuers", Kind::List(&Kind::String), "Names of the issuers whose tokens are believed."),
    KeySpec::default(
        "token_from",
        Kind::List(&Kind::String),
        "[\"header\"]",
        "Where a token may stand: \"header\" (Authorization: Bearer), \"header:NAME\" (a field that a proxy in front writes), \"cookie:NAME\", \"query:NAME\". URLs end up in logs: off unless named.",
    ),
    KeySpec::optional(
        "streams_claim",
        Kind::String,
        "Claim that lists path patterns, one of which must cover the stream. Absent: no such rule.",
    ),
    KeySpec::optional(
        "require",
        Kind::Map(&Kind::OneOf(&[Kind::Scalar, Kind::List(&Kind::Scalar)])),
        "Claims that must equal, list or contain (space-separated) the value, or one of several. A number or a boolean is equal to its like alone.",
    ),
    KeySpec::optional(
        "bind",
        Kind::Map(&Kind::String),
        "Captures and shared query parameters, and the claim that must equal or list every value of each. A parameter that is absent is refused.",
    ),
    KeySpec::default("enforce", Kind::Bool, "true", "false: decide, count and log, but let in."),
    KeySpec::default(
        "expiry_spread",
        Kind::duration_or_zero("1ms", "1h"),
        "10s",
        "A response ends up to this long before its token, at most a tenth of what was left, where 60 s or more were. 0s: with it.",
    ),
    KeySpec::default("tickets", Kind::Bool, "false", "POST PATH?ticket makes one-time URLs."),
    KeySpec::default("ticket_ttl", Kind::duration("100ms", "10m"), "30s", "How long a ticket may wait for its use."),
];

/// Who may read the route, without what [`bind`] adds, and the entries that it reads. `None`: noted.
pub(super) fn access<'a>(route: &Table<'a>, references: References<'_>) -> Option<(Access, NamedValues<'a>)> {
    if !route.contains("auth") {
        route
            .report("auth", "is missing: auth = \"public\" lets everyone in, a [routes.auth] table those with a token");
        return None;
    }
    let given = route.get("auth")?.alternative()?;
    if !given.is_table() {
        return given.variant().map(|_| (Access::Public, Vec::new()));
    }
    given.table().map(|table| (Access::Token(rules(&table, references)), table.entries("bind")))
}

/// The names of a table that the user chose, and what stands there.
pub(super) type NamedValues<'a> = Vec<(&'a str, Value<'a>)>;

/// Reads which captures of `path` and which `shared` query parameters are bound to a claim.
pub(super) fn bind(entries: NamedValues<'_>, path: Option<&PathPattern>, shared: &[String]) -> Vec<(Bound, String)> {
    let read = |(name, value): (&str, Value<'_>)| {
        let is_capture = path.is_some_and(|path| path.captures().any(|known| known == name));
        let is_parameter = shared.iter().any(|known| known == name);
        let bound = match (is_capture, is_parameter) {
            (true, true) => {
                value.report("both the path and share.query have this name");
                return None;
            }
            (true, false) => Bound::Capture(name.to_owned()),
            (false, true) => Bound::Parameter(name.to_owned()),
            // Of a path that cannot be read nothing is known.
            (false, false) => {
                let path = path?;
                let meant = nearest(name, path.captures().chain(shared.iter().map(String::as_str)));
                let hint = did_you_mean(meant);
                value.report(format!("is neither a capture of the path nor a name in share.query{hint}"));
                return None;
            }
        };
        Some((bound, parsers::claim(&value, value.string()?)?))
    };
    entries.into_iter().filter_map(read).collect()
}

/// The query parameters that may hold a token.
pub(super) fn query_names(access: &Access) -> impl Iterator<Item = &str> {
    let sources: &[TokenSource] = match access {
        Access::Public => &[],
        Access::Token(rules) => &rules.token_from,
    };
    sources.iter().filter_map(|source| match source {
        TokenSource::Query(name) => Some(name.as_str()),
        TokenSource::Header | TokenSource::Field(_) | TokenSource::Cookie(_) => None,
    })
}

/// Whether the field of this name may hold a token.
pub(super) fn is_token_field(access: Option<&Access>, name: &HeaderName) -> bool {
    match access {
        Some(Access::Token(rules)) => {
            rules.token_from.iter().any(|source| matches!(source, TokenSource::Field(field) if name == field.as_str()))
        }
        Some(Access::Public) | None => false,
    }
}

fn rules(table: &Table<'_>, references: References<'_>) -> RuleSettings {
    RuleSettings {
        issuers: issuer_names(table, references.issuers),
        token_from: token_from(table),
        token_bytes: references.token_bytes,
        streams_claim: table.get("streams_claim").and_then(|value| parsers::claim(&value, value.string()?)),
        require: require(table),
        // Both are known once the route's share has been read.
        bind: Vec::new(),
        shared: Vec::new(),
        enforce: table.boolean("enforce"),
        expiry_spread: table.duration("expiry_spread"),
        tickets: table.boolean("tickets"),
        ticket_ttl: table.duration("ticket_ttl"),
    }
}

fn issuer_names(table: &Table<'_>, issuers: &BTreeMap<String, Arc<IssuerSettings>>) -> Vec<String> {
    let mut found: Vec<(&str, &Arc<IssuerSettings>)> = Vec::new();
    let mut distinct = Distinct::new();
    for value in table.nonempty_items("issuers") {
        let Some((name, settings)) = parsers::reference(&value, "issuer", issuers.iter()) else { continue };
        if !distinct.insert(&value, name) {
            continue;
        }
        if found.iter().any(|(_, other)| other.issuer == settings.issuer && !other.issuer.is_empty()) {
            value.report("has the same `issuer` as another one here: a token could not choose");
        }
        found.push((name, settings));
    }
    found.into_iter().map(|(name, _)| name.to_owned()).collect()
}

fn token_from(table: &Table<'_>) -> Vec<TokenSource> {
    if !table.contains("token_from") {
        table.items("token_from");
        return vec![TokenSource::Header];
    }
    let (mut found, mut distinct) = (Vec::new(), Distinct::new());
    for value in table.nonempty_items("token_from") {
        let Some(source) = token_source(&value) else { continue };
        if distinct.insert(&value, source.clone()) {
            found.push(source);
        }
    }
    found
}

fn token_source(value: &Value<'_>) -> Option<TokenSource> {
    let text = value.string()?;
    match text.split_once(':') {
        None if text == "header" => Some(TokenSource::Header),
        Some(("header", name)) => field(value, name),
        Some(("query", name)) => parsers::parameter(value, name).map(TokenSource::Query),
        // RFC 6265, 4.1.1: a cookie's name is a token, as a header's is.
        Some(("cookie", name)) if name.parse::<HeaderName>().is_ok() => Some(TokenSource::Cookie(name.to_owned())),
        _ => {
            value.report("expected \"header\", \"header:NAME\", \"cookie:NAME\" or \"query:NAME\"");
            None
        }
    }
}

/// A field that something in front writes, and that is nothing else.
fn field(value: &Value<'_>, name: &str) -> Option<TokenSource> {
    let name = parsers::header(value, name)?;
    match name.as_str() {
        "authorization" => value.report("is \"header\" without a name"),
        "cookie" => value.report("a cookie's token is \"cookie:NAME\""),
        "origin" | "sec-fetch-site" | "forwarded" | "x-forwarded-for" => {
            value.report("this header means something else")
        }
        _ => return Some(TokenSource::Field(name.as_str().to_owned())),
    }
    None
}

fn require(table: &Table<'_>) -> Vec<(String, Vec<serde_json::Value>)> {
    let read = |(path, value): (&str, Value<'_>)| {
        let path = parsers::claim(&value, path);
        let given = value.alternative()?;
        let values = if given.is_list() { given.items() } else { vec![given.clone()] };
        if values.is_empty() {
            given.report("is empty: no token would be good enough");
        }
        Some((path?, values.iter().filter_map(Value::scalar).collect()))
    };
    table.entries("require").into_iter().filter_map(read).collect()
}
