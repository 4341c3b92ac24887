//! `[[routes]]`: what is served, from where, to whom.
//!
//! Routes are compared with one another here: their names, and the paths that two of them would answer. The tables
//! inside a route are read beside this file.

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
    KeySpec::required("name", Kind::String, "Unique; the metric label."),
    KeySpec::required(
        "path",
        Kind::String,
        "Which paths it answers. {capture} is one segment; a slash at the end is an empty one, compared exactly.",
    ),
    KeySpec::optional("host", Kind::String, "Narrows the route to one host name. Absent: all."),
    KeySpec::required("upstream", Kind::String, "Name of the upstream that the events come from."),
    KeySpec::optional(
        "upstream_path",
        Kind::String,
        "Path asked of the upstream, and perhaps a query, with captures in both. Absent: the same path.",
    ),
    KeySpec::required(
        "auth",
        Kind::OneOf(&[Kind::Enum(&["public"]), Kind::Table(auth::AUTH)]),
        "\"public\": everyone. Else a table of rules that a token must satisfy.",
    ),
    KeySpec::default(
        "open",
        Kind::Enum(&["on-demand", "always"]),
        "on-demand",
        "Whether the stream is open without subscribers. \"always\" is for routes that are a single stream.",
    ),
    KeySpec::default(
        "on_end",
        Kind::Enum(&["reconnect", "complete"]),
        "reconnect",
        "What it means that the upstream ends its response: an interruption, or that all is said.",
    ),
    KeySpec::default(
        "soft_refusal",
        Kind::Bool,
        "false",
        "Answer 429 and 503 to an event-stream request as 200 with a jittered retry, a reason and an end.",
    ),
    KeySpec::optional("share", Kind::Table(delivery::SHARE), "What else makes two clients different streams."),
    KeySpec::optional("replay", Kind::Table(delivery::REPLAY), "How much is kept, and how clients resume."),
    KeySpec::optional("delivery", Kind::Table(delivery::DELIVERY), "How events reach clients."),
    KeySpec::optional("cors", Kind::Table(delivery::CORS), "Which pages of other origins may read the route."),
];

/// All routes, in the order of the file.
pub(super) fn routes(values: &[Value<'_>], references: References<'_>) -> Vec<Arc<Settings>> {
    let mut found = Vec::new();
    let mut seen: Vec<(Option<String>, Option<String>, Option<PathPattern>)> = Vec::new();
    for value in values {
        let Some(table) = value.table() else { continue };
        let name = table.get("name").and_then(|value| parsers::label(&value));
        let host = table.get("host").and_then(|value| parsers::host(&value));
        let path = table.get("path").and_then(|value| pattern(&value));
        // Compared before the rest is believed: a route with another mistake may still be in the way.
        for (other_name, other_host, other_path) in &seen {
            if name.is_some() && *other_name == name {
                table.report("name", "another route has the same name");
            }
            if *other_host == host
                && let (Some(path), Some(other)) = (&path, other_path)
                && path.conflicts_with(other)
            {
                table.report("path", "another route matches the same paths and neither is more specific");
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
        table.report("open", "\"always\" is for a single stream, but the path has captures");
    } else if open == Open::Always && share != ShareSettings::default() {
        table.report("open", "\"always\" is for a single stream, but share makes many");
    }
    let on_end = table.variant("on_end", &[("reconnect", OnEnd::Reconnect), ("complete", OnEnd::Complete)]);
    let soft_refusal = table.boolean("soft_refusal");
    let cors = table.optional_table("cors").as_ref().map(delivery::cors);
    check_token_parameters(table, access.as_ref(), &replay.query_id);
    check_query_parameters(table, upstream.as_deref(), upstream_path.as_ref(), &share);
    let is_sent = upstream
        .as_ref()
        .is_some_and(|upstream| upstream.headers.iter().any(|(name, _)| auth::is_token_field(access.as_ref(), name)));
    if is_sent {
        table.report(
            "upstream",
            "writes a header in which tokens stand here (auth.token_from): they do not go upstream",
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

/// Nothing is said about the captures of a path that cannot be read itself.
fn upstream_path(table: &Table<'_>, path: Option<&PathPattern>) -> Option<PathTemplate> {
    let Some(value) = table.get("upstream_path") else { return path.map(PathTemplate::same_as) };
    let text = value.string()?;
    PathTemplate::parse(text, path?).map_err(|error| value.report(error.to_string())).ok()
}

/// A parameter that the upstream is asked with comes from one location: of two, nobody could say which one counts.
fn check_query_parameters(
    table: &Table<'_>,
    upstream: Option<&UpstreamSettings>,
    template: Option<&PathTemplate>,
    share: &ShareSettings,
) {
    let names = |query: &str| query_names(query).map(Cow::into_owned).collect::<BTreeSet<_>>();
    let of_urls = upstream.into_iter().flat_map(|upstream| &upstream.origins).flat_map(|origin| names(&origin.query));
    let of_resume = upstream.into_iter().filter_map(|upstream| match &upstream.resume {
        // What is shared has been looked at where it stands.
        Resume::Query(name) if !share.query.contains(name) => Some(name.clone()),
        Resume::Query(_) | Resume::Header(_) => None,
    });
    // The key of the route that leads there, the words for it, and the names.
    let places = [
        ("upstream", "the upstream's resume.query", of_resume.collect()),
        ("upstream", "the upstream's urls", of_urls.collect()),
        ("upstream_path", "upstream_path", template.map(|template| names(&template.query())).unwrap_or_default()),
        ("share", "share.query", share.query.iter().cloned().collect()),
    ];
    for (index, (key, _, names)) in places.iter().enumerate() {
        for (_, earlier, others) in &places[..index] {
            for name in names.intersection(others) {
                table.report(key, format!("the query parameter {name:?} also comes from {earlier}"));
            }
        }
    }
}

/// A query parameter has one meaning.
fn check_token_parameters(table: &Table<'_>, access: Option<&Access>, query_id: &[String]) {
    if access.is_some_and(|access| auth::query_names(access).any(|name| query_id.iter().any(|id| id == name))) {
        table.table("replay").report("query_id", "is also where the token stands (auth.token_from)");
    }
}
