//! `[[routes]]`: the paths that are served, each with its upstream and its rules.
//!
//! Routes are checked against each other here: names must be unique, and paths must not conflict. The tables of a route
//! are read in `auth` and `delivery`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::auth::{self, AuthTable, PublicAccess};
use super::delivery::{self, CorsTable, DeliveryTable, ReplayTable, ShareTable};
use super::forward::{self, ForwardTable};
use super::parsers;
use super::post::{self, PostContext, PostTable};
use super::references::References;
use crate::config::engine::{KeyEntry, OneOf, Value, keys, variants};
use crate::forward::ForwardSettings;
use crate::route::pattern::PathPattern;
use crate::route::template::PathTemplate;
use crate::route::{Access, Open, Settings, ShareSettings};
use crate::stream::{OnEnd, Policy, Upstream as _};
use crate::upstream::{Resume, UpstreamSettings, query_names};

keys! {
    pub(super) struct RouteTable<'a> {
        /// Unique name; metric label.
        name: &'a str = required,
        /// Path pattern. {capture} matches one segment, and {*rest} at the end of a forwarded path the rest, slashes
        /// included. A slash at the end is an empty segment, compared exactly.
        path: &'a str = required,
        /// Restricts the route to one host name. Absent: all host names.
        host: &'a str = optional,
        /// Name of the upstream.
        upstream: &'a str = required,
        /// Path of the upstream request, optionally with a query. Both may contain captures. Absent: the path of the
        /// client's request.
        upstream_path: &'a str = optional,
        /// "public": no token needed. Or a table of rules that a token must satisfy.
        auth: OneOf<'a, PublicAccess, AuthTable<'a>> = required,
        /// Time for which the stream is open. "always": even without subscribers; only for routes with a single stream.
        open: Open = "on-demand",
        /// Meaning of the end of an upstream response: an interruption, or the end of the stream.
        on_end: OnEnd = "reconnect",
        /// Answer an event-stream request with 200, a jittered retry and a reason instead of 429 or 503, then end the
        /// response.
        soft_refusal: bool = "false",
        /// Request values that are part of the stream key and sent upstream.
        share: ShareTable<'a> = optional,
        /// Retention of events, and how clients resume.
        replay: ReplayTable<'a> = optional,
        /// Delivery of events to clients.
        delivery: DeliveryTable<'a> = optional,
        /// Web pages of other origins that may read the route. Absent: none.
        cors: CorsTable<'a> = optional,
        /// Opens streams by POST, such as the answers of language models. Absent: POST is refused.
        post: PostTable<'a> = optional,
        /// Sends every request on as it comes, instead of opening streams. May be empty.
        forward: ForwardTable<'a> = optional,
    }
}

variants!(Open { "on-demand" => OnDemand, "always" => Always });
variants!(OnEnd { "reconnect" => Reconnect, "complete" => Complete });

/// Reads all routes, in file order.
pub(super) fn routes<'a>(values: &[Value<'a, RouteTable<'a>>], references: References<'_>) -> Vec<Arc<Settings>> {
    let mut found = Vec::new();
    let mut seen: Vec<(Option<String>, Option<String>, Option<PathPattern>)> = Vec::new();
    for value in values {
        let Some(table) = value.read() else { continue };
        let name = table.name.value().and_then(|value| parsers::label(&value));
        let host = table.host.value().and_then(|value| parsers::host(&value));
        let path = table.path.value().and_then(|value| pattern(&value));
        // Compare before reading the rest: a route with another problem may still conflict.
        for (other_name, other_host, other_path) in &seen {
            if name.is_some() && *other_name == name {
                table.name.report("another route has the same name");
            }
            if *other_host == host
                && let (Some(path), Some(other)) = (&path, other_path)
                && path.conflicts_with(other)
            {
                table.path.report("another route matches the same paths, and neither is more specific");
            }
        }
        seen.push((name.clone(), host.clone(), path.clone()));
        let settings = route(&table, references, name.unwrap_or_default(), host, path);
        found.extend(settings.map(Arc::new));
    }
    found
}

fn pattern(value: &Value<'_>) -> Option<PathPattern> {
    PathPattern::parse(value.read()?).map_err(|error| value.report(error.to_string())).ok()
}

fn route(
    table: &RouteTable<'_>,
    references: References<'_>,
    name: String,
    host: Option<String>,
    path: Option<PathPattern>,
) -> Option<Settings> {
    let upstream = table
        .upstream
        .value()
        .and_then(|value| parsers::reference(&value, "upstream", references.upstreams.iter()))
        .map(|(_, target)| Arc::clone(target));
    let upstream_path = upstream_path(table, path.as_ref());
    let (mut access, bound) = auth::access(&table.auth, references).unzip();
    let is_opened_by_post = table.post.is_given();
    let (policy, ids, replay) = delivery::replay(&table.replay.table(), references, is_opened_by_post);
    let (delivery, linger) = delivery::delivery(&table.delivery.table(), is_opened_by_post);
    let share = delivery::share(&table.share.table(), access.as_ref(), upstream.as_deref(), &replay.query_id);
    if let Some(Access::Token(rules)) = &mut access {
        rules.shared = share.claims.iter().map(|(_, claim)| claim.clone()).collect();
        rules.bind = auth::bind(bound.unwrap_or_default(), path.as_ref(), &share.query);
    }
    let open = table.open.get();
    if open == Open::Always && path.as_ref().is_some_and(|path| path.captures().next().is_some()) {
        table.open.report("\"always\" needs a single stream, but the path has captures");
    } else if open == Open::Always && share != ShareSettings::default() {
        table.open.report("\"always\" needs a single stream, but share creates several");
    }
    let on_end = if is_opened_by_post && !table.on_end.is_given() { OnEnd::Complete } else { table.on_end.get() };
    let post = is_opened_by_post.then(|| {
        let context = PostContext { access: access.as_ref(), upstream: upstream.as_deref(), share: &share };
        Arc::new(post::post(&table.post.table(), context))
    });
    if is_opened_by_post && open == Open::Always {
        table.open.report("\"always\" needs a single stream, but each POST may open one");
    }
    if on_end == OnEnd::Reconnect && post.as_ref().is_some_and(|post| !post.retry) {
        table.on_end.report("\"reconnect\" would send a POST again: it needs post.retry = true");
    }
    let soft_refusal = table.soft_refusal.get();
    let cors = table.cors.read().as_ref().map(delivery::cors);
    check_token_parameters(table, access.as_ref(), &replay.query_id);
    check_query_parameters(table, upstream.as_deref(), upstream_path.as_ref(), &share);
    let is_sent = upstream
        .as_ref()
        .is_some_and(|upstream| upstream.headers.iter().any(|(name, _)| auth::is_token_header(access.as_ref(), name)));
    if is_sent {
        table
            .upstream
            .report("the upstream's headers set a header that this route reads tokens from (auth.token_from)");
    }
    let forward = forward(table, upstream.as_ref(), access.as_ref(), path.as_ref());
    let upstream = upstream?;
    let policy = Policy { on_end, linger, backoff: upstream.timing().backoff, ..policy };
    Some(Settings {
        name,
        host,
        path: path?,
        upstream,
        upstream_path: upstream_path?,
        access: access?,
        open,
        soft_refusal,
        share,
        replay,
        delivery,
        ids,
        stream: policy,
        cors,
        post,
        forward,
    })
}

/// Reads `upstream_path`. Its captures are not checked if the route's path is invalid.
fn upstream_path(table: &RouteTable<'_>, path: Option<&PathPattern>) -> Option<PathTemplate> {
    let Some(value) = table.upstream_path.value() else { return path.map(PathTemplate::from_pattern) };
    let text = value.read()?;
    PathTemplate::parse(text, path?).map_err(|error| value.report(error.to_string())).ok()
}

/// Reports a query parameter of the upstream request that is set in two places, which would make it ambiguous.
fn check_query_parameters(
    table: &RouteTable<'_>,
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
    let sources: [(&KeyEntry<'_>, _, BTreeSet<_>); 4] = [
        (&table.upstream, "the upstream's resume.query", of_resume.collect()),
        (&table.upstream, "the upstream's urls", of_urls.collect()),
        (&table.upstream_path, "upstream_path", template.map(|template| names(&template.query())).unwrap_or_default()),
        (&table.share, "share.query", share.query.iter().cloned().collect()),
    ];
    for (index, (key, _, names)) in sources.iter().enumerate() {
        for (_, earlier, others) in &sources[..index] {
            for name in names.intersection(others) {
                key.report(format!("the query parameter {name:?} is also set by {earlier}"));
            }
        }
    }
}

/// Reports a query parameter that is used for both the token and the last event id.
fn check_token_parameters(table: &RouteTable<'_>, access: Option<&Access>, query_id: &[String]) {
    if access.is_some_and(|access| auth::token_parameters(access).any(|name| query_id.iter().any(|id| id == name))) {
        table.replay.table().query_id.report("already used for the token (auth.token_from)");
    }
}

/// Reads `[routes.forward]`, if the route has it. Reports what is for streams beside it, since it would do nothing.
fn forward(
    table: &RouteTable<'_>,
    upstream: Option<&Arc<UpstreamSettings>>,
    access: Option<&Access>,
    path: Option<&PathPattern>,
) -> Option<Arc<ForwardSettings>> {
    if !table.forward.is_given() {
        if path.is_some_and(PathPattern::has_rest) {
            table.path.report("{*name} is only for routes with [routes.forward]: a stream has one path");
        }
        return None;
    }
    let of_streams: [&KeyEntry<'_>; 8] = [
        &table.upstream_path,
        &table.open,
        &table.on_end,
        &table.soft_refusal,
        &table.share,
        &table.replay,
        &table.delivery,
        &table.post,
    ];
    for key in of_streams.into_iter().filter(|key| key.is_given()) {
        key.report("has no effect beside [routes.forward]: it is for streams");
    }
    if matches!(access, Some(Access::Token(rules)) if rules.tickets) {
        table.auth.report("tickets are for streams: a route with [routes.forward] has none");
    }
    if upstream.is_some_and(|upstream| upstream.http2.is_some()) {
        table.upstream.report("requests are forwarded over HTTP/1.1: set http2 = false in the upstream");
    }
    Some(Arc::new(forward::forward(&table.forward.table(), upstream?.clone())))
}
