//! `[[routes]]`: the paths that are served, each with its upstream and its rules.
//!
//! Routes are checked against each other here: names must be unique, and paths must not conflict. The tables of a route
//! are read in `auth` and `delivery`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::parsers;
use super::references::References;
use super::{auth, delivery};
use crate::config::engine::{KeySpec, Kind, Table, Value};
use crate::route::pattern::PathPattern;
use crate::route::template::PathTemplate;
use crate::route::{Access, Open, Settings, ShareSettings};
use crate::stream::{OnEnd, Policy};
use crate::upstream::{Resume, UpstreamSettings, query_names};

pub(super) const ROUTE: &[KeySpec] = &[
    KeySpec::required("name", Kind::String, "Unique name; metric label."),
    KeySpec::required(
        "path",
        Kind::String,
        "Path pattern. {capture} matches one segment. A slash at the end is an empty segment, compared exactly.",
    ),
    KeySpec::optional("host", Kind::String, "Restricts the route to one host name. Absent: all host names."),
    KeySpec::required("upstream", Kind::String, "Name of the upstream."),
    KeySpec::optional(
        "upstream_path",
        Kind::String,
        "Path of the upstream request, optionally with a query. Both may contain captures. Absent: the path of the client's request.",
    ),
    KeySpec::required(
        "auth",
        Kind::OneOf(&[Kind::Enum(&["public"]), Kind::Table(auth::AUTH)]),
        "\"public\": no token needed. Or a table of rules that a token must satisfy.",
    ),
    KeySpec::default(
        "open",
        Kind::Enum(&["on-demand", "always"]),
        "on-demand",
        "When the stream is open. \"always\": even without subscribers; only for routes with a single stream.",
    ),
    KeySpec::default(
        "on_end",
        Kind::Enum(&["reconnect", "complete"]),
        "reconnect",
        "Meaning of the end of an upstream response: an interruption, or the end of the stream.",
    ),
    KeySpec::default(
        "soft_refusal",
        Kind::Bool,
        "false",
        "Answer an event-stream request with 200, a jittered retry and a reason instead of 429 or 503, then end the response.",
    ),
    KeySpec::optional(
        "share",
        Kind::Table(delivery::SHARE),
        "Request values that are part of the stream key and sent upstream.",
    ),
    KeySpec::optional("replay", Kind::Table(delivery::REPLAY), "Retention of events, and how clients resume."),
    KeySpec::optional("delivery", Kind::Table(delivery::DELIVERY), "Delivery of events to clients."),
    KeySpec::optional(
        "cors",
        Kind::Table(delivery::CORS),
        "Web pages of other origins that may read the route. Absent: none.",
    ),
];

/// Reads all routes, in file order.
pub(super) fn routes(values: &[Value<'_>], references: References<'_>) -> Vec<Arc<Settings>> {
    let mut found = Vec::new();
    let mut seen: Vec<(Option<String>, Option<String>, Option<PathPattern>)> = Vec::new();
    for value in values {
        let Some(table) = value.table() else { continue };
        let name = table.get("name").and_then(|value| parsers::label(&value));
        let host = table.get("host").and_then(|value| parsers::host(&value));
        let path = table.get("path").and_then(|value| pattern(&value));
        // Compare before reading the rest: a route with another problem may still conflict.
        for (other_name, other_host, other_path) in &seen {
            if name.is_some() && *other_name == name {
                table.report("name", "another route has the same name");
            }
            if *other_host == host
                && let (Some(path), Some(other)) = (&path, other_path)
                && path.conflicts_with(other)
            {
                table.report("path", "another route matches the same paths, and neither is more specific");
            }
        }
        seen.push((name.clone(), host.clone(), path.clone()));
        let settings = route(&table, references, name.unwrap_or_default(), host, path);
        found.extend(settings.map(Arc::new));
    }
    found
}

fn pattern(value: &Value<'_>) -> Option<PathPattern> {
    PathPattern::parse(value.string()?).map_err(|error| value.report(error.to_string())).ok()
}

fn route(
    table: &Table<'_>,
    references: References<'_>,
    name: String,
    host: Option<String>,
    path: Option<PathPattern>,
) -> Option<Settings> {
    let upstream = table
        .get("upstream")
        .and_then(|value| parsers::reference(&value, "upstream", references.upstreams.iter()))
        .map(|(_, target)| Arc::clone(target));
    let upstream_path = upstream_path(table, path.as_ref());
    let (mut access, bound) = auth::access(table, references).unzip();
    let replay = table.table("replay");
    let (retention, ids, replay) = delivery::replay(&replay, references.has_store);
    let (delivery, linger) = delivery::delivery(&table.table("delivery"));
    let share = delivery::share(&table.table("share"), access.as_ref(), upstream.as_deref(), &replay.query_id);
    if let Some(Access::Token(rules)) = &mut access {
        rules.shared = share.claims.iter().map(|(_, claim)| claim.clone()).collect();
        rules.bind = auth::bind(bound.unwrap_or_default(), path.as_ref(), &share.query);
    }
    let open = table.variant("open", &[("on-demand", Open::OnDemand), ("always", Open::Always)]);
    if open == Open::Always && path.as_ref().is_some_and(|path| path.captures().next().is_some()) {
        table.report("open", "\"always\" needs a single stream, but the path has captures");
    } else if open == Open::Always && share != ShareSettings::default() {
        table.report("open", "\"always\" needs a single stream, but share creates several");
    }
    let on_end = table.variant("on_end", &[("reconnect", OnEnd::Reconnect), ("complete", OnEnd::Complete)]);
    let soft_refusal = table.boolean("soft_refusal");
    let cors = table.optional_table("cors").as_ref().map(delivery::cors);
    check_token_parameters(table, access.as_ref(), &replay.query_id);
    check_query_parameters(table, upstream.as_deref(), upstream_path.as_ref(), &share);
    let is_sent = upstream
        .as_ref()
        .is_some_and(|upstream| upstream.headers.iter().any(|(name, _)| auth::is_token_header(access.as_ref(), name)));
    if is_sent {
        table.report(
            "upstream",
            "the upstream's headers set a header that this route reads tokens from (auth.token_from)",
        );
    }
    Some(Settings {
        name,
        host,
        path: path?,
        upstream: upstream?,
        upstream_path: upstream_path?,
        access: access?,
        open,
        soft_refusal,
        share,
        replay,
        delivery,
        stream: Policy { retention, ids, on_end, linger },
        cors,
    })
}

/// Reads `upstream_path`. Its captures are not checked if the route's path is invalid.
fn upstream_path(table: &Table<'_>, path: Option<&PathPattern>) -> Option<PathTemplate> {
    let Some(value) = table.get("upstream_path") else { return path.map(PathTemplate::from_pattern) };
    let text = value.string()?;
    PathTemplate::parse(text, path?).map_err(|error| value.report(error.to_string())).ok()
}

/// Reports a query parameter of the upstream request that is set in two places, which would make it ambiguous.
fn check_query_parameters(
    table: &Table<'_>,
    upstream: Option<&UpstreamSettings>,
    template: Option<&PathTemplate>,
    share: &ShareSettings,
) {
    let names = |query: &str| query_names(query).map(Cow::into_owned).collect::<BTreeSet<_>>();
    let of_urls = upstream.into_iter().flat_map(|upstream| &upstream.origins).flat_map(|origin| names(&origin.query));
    let of_resume = upstream.into_iter().filter_map(|upstream| match &upstream.resume {
        // A conflict with `share.query` has been reported there.
        Resume::Query(name) if !share.query.contains(name) => Some(name.clone()),
        Resume::Query(_) | Resume::Header(_) => None,
    });
    // The key of the route to report, the description of the source, and the names.
    let sources = [
        ("upstream", "the upstream's resume.query", of_resume.collect()),
        ("upstream", "the upstream's urls", of_urls.collect()),
        ("upstream_path", "upstream_path", template.map(|template| names(&template.query())).unwrap_or_default()),
        ("share", "share.query", share.query.iter().cloned().collect()),
    ];
    for (index, (key, _, names)) in sources.iter().enumerate() {
        for (_, earlier, others) in &sources[..index] {
            for name in names.intersection(others) {
                table.report(key, format!("the query parameter {name:?} is also set by {earlier}"));
            }
        }
    }
}

/// Reports a query parameter that is used for both the token and the last event id.
fn check_token_parameters(table: &Table<'_>, access: Option<&Access>, query_id: &[String]) {
    if access.is_some_and(|access| auth::token_parameters(access).any(|name| query_id.iter().any(|id| id == name))) {
        table.table("replay").report("query_id", "already used for the token (auth.token_from)");
    }
}
