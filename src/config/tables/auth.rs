//! `auth` of a route: `"public"`, or the rules that a token must satisfy.
//!
//! A route without `auth` is a problem, so that no route becomes public by omission. Tokens are verified in `auth`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::parsers;
use super::references::References;
use crate::auth::{Bound, IssuerSettings, RuleSettings, TokenSource};
use crate::config::engine::{
    Distinct, HasDefault, Key, List, Map, OneOf, Value, did_you_mean, duration, duration_or_zero, keys, nearest,
    variants,
};
use crate::route::Access;
use crate::route::pattern::PathPattern;

/// `auth = "public"`.
pub(super) enum PublicAccess {
    Public,
}

variants!(PublicAccess { "public" => Public });

keys! {
    pub(super) struct AuthTable<'a> {
        /// Names of the issuers whose tokens are accepted.
        issuers: List<'a, &'a str> = required,
        /// Places from which tokens are read: "header" (Authorization: Bearer), "header:NAME" (set by a proxy in front),
        /// "cookie:NAME", "query:NAME". URLs end up in logs, so query is off by default.
        token_from: List<'a, &'a str> = "[\"header\"]",
        /// Claim with a list of path patterns, one of which must match the stream. Absent: no such rule.
        streams_claim: &'a str = optional,
        /// Required claims. A claim must equal the value, be a list that contains it, or be a space-separated string
        /// that contains it. With several values, one must match. Numbers and booleans match only values of the same
        /// type.
        require: Map<'a, ClaimValues<'a>> = optional,
        /// Claims bound to path captures and shared query parameters. The claim must equal or list every value. A
        /// request without the parameter is refused.
        bind: Map<'a, &'a str> = optional,
        /// false: evaluate, count and log the rules, but admit every request.
        enforce: bool = "true",
        /// Responses end up to this long before their token expires, each at a random moment, so that clients do not
        /// all reconnect at once. At most a tenth of the remaining time, and only if 60 s or more remain. 0s: they end
        /// when the token expires.
        expiry_spread: Duration = "10s" in duration_or_zero("1ms", "1h"),
        /// POST PATH?ticket creates a one-time URL.
        tickets: bool = "false",
        /// Time within which a ticket must be used.
        ticket_ttl: Duration = "30s" in duration("100ms", "10m"),
    }
}

/// The values of a required claim.
type ClaimValues<'a> = OneOf<'a, serde_json::Value, List<'a, serde_json::Value>>;

/// Reads `auth`. Also returns the entries of `bind`, which [`bind`] reads later. `None`: a problem was reported.
pub(super) fn access<'a>(
    key: &Key<'a, OneOf<'a, PublicAccess, AuthTable<'a>>>,
    references: References<'_>,
) -> Option<(Access, Map<'a, &'a str>)> {
    if !key.is_given() {
        key.report("missing required key: set auth = \"public\" to admit everyone, or add a [routes.auth] table to require a token");
        return None;
    }
    match key.read()? {
        OneOf::First(public) => public.read().map(|PublicAccess::Public| (Access::Public, Map::new())),
        OneOf::Second(table) => {
            table.read().map(|table| (Access::Token(rules(&table, references)), table.bind.entries()))
        }
    }
}

/// Reads `bind`: the claims bound to captures of `path` and to `shared` query parameters.
pub(super) fn bind<'a>(
    entries: Map<'a, &'a str>,
    path: Option<&PathPattern>,
    shared: &[String],
) -> Vec<(Bound, String)> {
    let read = |(name, value): (&str, Value<'a>)| {
        let is_capture = path.is_some_and(|path| path.captures().any(|known| known == name));
        let is_parameter = shared.iter().any(|known| known == name);
        let bound = match (is_capture, is_parameter) {
            (true, true) => {
                value.report("ambiguous: both the path and share.query have this name");
                return None;
            }
            (true, false) => Bound::Capture(name.to_owned()),
            (false, true) => Bound::Parameter(name.to_owned()),
            // The captures of an invalid path are unknown.
            (false, false) => {
                let path = path?;
                let meant = nearest(name, path.captures().chain(shared.iter().map(String::as_str)));
                let hint = did_you_mean(meant);
                value.report(format!("neither a capture of the path nor a name in share.query{hint}"));
                return None;
            }
        };
        Some((bound, parsers::claim(&value, value.read()?)?))
    };
    entries.into_iter().filter_map(read).collect()
}

/// Returns the query parameters that tokens are read from.
pub(super) fn token_parameters(access: &Access) -> impl Iterator<Item = &str> {
    let sources: &[TokenSource] = match access {
        Access::Public => &[],
        Access::Token(rules) => &rules.token_from,
    };
    sources.iter().filter_map(|source| match source {
        TokenSource::Query(name) => Some(name.as_str()),
        TokenSource::Header | TokenSource::Field(_) | TokenSource::Cookie(_) => None,
    })
}

/// Returns true if tokens are read from the header `name`, other than `Authorization`.
pub(super) fn is_token_header(access: Option<&Access>, name: &HeaderName) -> bool {
    match access {
        Some(Access::Token(rules)) => {
            rules.token_from.iter().any(|source| matches!(source, TokenSource::Field(field) if name == field.as_str()))
        }
        Some(Access::Public) | None => false,
    }
}

fn rules(table: &AuthTable<'_>, references: References<'_>) -> RuleSettings {
    RuleSettings {
        issuers: issuer_names(&table.issuers, references.issuers),
        token_from: token_from(&table.token_from),
        token_bytes: references.token_bytes,
        streams_claim: table.streams_claim.value().and_then(|value| parsers::claim(&value, value.read()?)),
        require: require(&table.require),
        // Set after the route's `share` has been read.
        bind: Vec::new(),
        shared: Vec::new(),
        enforce: table.enforce.get(),
        expiry_spread: table.expiry_spread.get(),
        tickets: table.tickets.get(),
        ticket_ttl: table.ticket_ttl.get(),
    }
}

fn issuer_names<'a>(key: &Key<'a, List<'a, &'a str>>, issuers: &BTreeMap<String, Arc<IssuerSettings>>) -> Vec<String> {
    let mut found: Vec<(&str, &Arc<IssuerSettings>)> = Vec::new();
    let mut distinct = Distinct::new();
    for value in key.nonempty_items() {
        let Some((name, settings)) = parsers::reference(&value, "issuer", issuers.iter()) else { continue };
        if !distinct.insert(&value, name) {
            continue;
        }
        if found.iter().any(|(_, other)| other.issuer == settings.issuer && !other.issuer.is_empty()) {
            value.report("same issuer value as another issuer of this route: tokens would be ambiguous");
        }
        found.push((name, settings));
    }
    found.into_iter().map(|(name, _)| name.to_owned()).collect()
}

fn token_from<'a>(key: &Key<'a, List<'a, &'a str>, HasDefault>) -> Vec<TokenSource> {
    if !key.is_given() {
        return vec![TokenSource::Header];
    }
    let (mut found, mut distinct) = (Vec::new(), Distinct::new());
    for value in key.nonempty_items() {
        let Some(source) = token_source(&value) else { continue };
        if distinct.insert(&value, source.clone()) {
            found.push(source);
        }
    }
    found
}

fn token_source(value: &Value<'_>) -> Option<TokenSource> {
    let text = value.read()?;
    match text.split_once(':') {
        None if text == "header" => Some(TokenSource::Header),
        Some(("header", name)) => token_header(value, name),
        Some(("query", name)) => parsers::parameter(value, name).map(TokenSource::Query),
        // RFC 6265, 4.1.1: a cookie name is an HTTP token, like a header name.
        Some(("cookie", name)) if name.parse::<HeaderName>().is_ok() => Some(TokenSource::Cookie(name.to_owned())),
        _ => {
            value.report("expected \"header\", \"header:NAME\", \"cookie:NAME\" or \"query:NAME\"");
            None
        }
    }
}

/// Reads a header that a proxy in front writes. Rejects headers with another meaning.
fn token_header(value: &Value<'_>, name: &str) -> Option<TokenSource> {
    let name = parsers::header(value, name)?;
    match name.as_str() {
        "authorization" => value.report("written \"header\", without a name"),
        "cookie" => value.report("written \"cookie:NAME\""),
        "origin" | "sec-fetch-site" | "forwarded" | "x-forwarded-for" => {
            value.report("this header has another meaning")
        }
        _ => return Some(TokenSource::Field(name.as_str().to_owned())),
    }
    None
}

fn require<'a>(key: &Key<'a, Map<'a, ClaimValues<'a>>>) -> Vec<(String, Vec<serde_json::Value>)> {
    let read = |(path, value): (&str, Value<'a, ClaimValues<'a>>)| {
        let path = parsers::claim(&value, path);
        let values = value.read()?.items();
        if values.is_empty() {
            value.report("must not be empty: no token could satisfy it");
        }
        Some((path?, values.iter().filter_map(Value::read).collect()))
    };
    key.entries().into_iter().filter_map(read).collect()
}
