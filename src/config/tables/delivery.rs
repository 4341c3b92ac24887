//! The tables inside a route that are not about access: `share`, `replay`, `delivery`, `cors`.
//!
//! Nothing that a client sends reaches the upstream unless it is named here, and what is named here is part of the
//! stream's identity.

use std::time::Duration;

use http::HeaderName;

use super::auth::{is_token_field, query_names};
use super::parsers;
use crate::config::engine::{Distinct, KeySpec, Kind, Table, Value};
use crate::route::{
    Access, Cors, DeliverySettings, EndForm, Lagging, LogStorage, OnGap, ReplaySettings, ShareSettings, Start,
    VerdictForm, WhenDown,
};
use crate::stream::{CatchUpLimit, Ids, Retention};
use crate::upstream::{Resume, UpstreamSettings};

pub(super) const SHARE: &[KeySpec] = &[
    KeySpec::default(
        "query",
        Kind::List(&Kind::String),
        "[]",
        "Query parameters, in this order; every value of one that is repeated.",
    ),
    KeySpec::default("headers", Kind::List(&Kind::String), "[]", "Request headers."),
    KeySpec::optional("claims", Kind::Map(&Kind::String), "HEADER = \"claim\": sent upstream in that header."),
];

pub(super) const REPLAY: &[KeySpec] = &[
    KeySpec::default("events", Kind::integer(1, 10_000_000), "1000", "Most events kept."),
    KeySpec::default(
        "bytes",
        Kind::size("1KiB", "64GiB"),
        "8MiB",
        "Most bytes kept; the newest event whatever its size, until it is too old.",
    ),
    KeySpec::default(
        "age",
        Kind::duration("10ms", "30d"),
        "10m",
        "Oldest age of an event that is kept; what is older goes within 5 s, the newest event too.",
    ),
    KeySpec::default(
        "start",
        Kind::String,
        "live",
        "Where a client without an id starts: \"live\", \"oldest\", \"last:N\".",
    ),
    KeySpec::default("on_gap", Kind::Enum(&["oldest", "live"]), "oldest", "Where a client starts whose id is unknown."),
    KeySpec::default(
        "ids",
        Kind::Enum(&["keep", "fill", "replace"]),
        "keep",
        "The upstream's ids untouched; events without one given one; or all of them replaced.",
    ),
    KeySpec::default(
        "verdict",
        Kind::Enum(&["off", "comment", "gap", "event"]),
        "comment",
        "How the outcome of a resume is told in-band; \"gap\": comments, and an event for a gap.",
    ),
    KeySpec::default(
        "query_id",
        Kind::OneOf(&[Kind::String, Kind::List(&Kind::String)]),
        r#"["last_event_id", "lastEventId"]"#,
        "Query parameters read when Last-Event-ID is absent, one name or several; the last value counts.",
    ),
    KeySpec::default(
        "store",
        Kind::Enum(&["memory", "disk"]),
        "memory",
        "\"disk\": survives a restart; needs [store].",
    ),
    KeySpec::default(
        "read_through",
        Kind::Bool,
        "false",
        "Catch up an id older than the log from the upstream's history.",
    ),
    KeySpec::optional("read_through_limit", Kind::Table(READ_THROUGH), "Bounds of one catching up."),
];

const READ_THROUGH: &[KeySpec] = &[
    KeySpec::default("events", Kind::integer(1, 10_000_000), "10000", "Most events."),
    KeySpec::default("bytes", Kind::size("1KiB", "1GiB"), "8MiB", "Most bytes."),
    KeySpec::default("concurrent", Kind::integer(1, 10_000), "16", "How many at a time."),
];

pub(super) const DELIVERY: &[KeySpec] = &[
    KeySpec::default("heartbeat", Kind::duration("50ms", "10m"), "15s", "A comment after this long without an event."),
    KeySpec::default(
        "retry",
        Kind::duration("1ms", "1h"),
        "2s",
        "Advertised reconnection time while the upstream has not said its own, jittered for each client.",
    ),
    KeySpec::default("max_age", Kind::duration_or_zero("50ms", "30d"), "0s", "Longest life of one response. 0s: off."),
    KeySpec::default(
        "lagged",
        Kind::Enum(&["disconnect", "skip"]),
        "disconnect",
        "A client that fell off the event log: end its response, or go on with a gap verdict.",
    ),
    KeySpec::default("latest", Kind::Bool, "false", "A lagging client gets only the newest event of each type."),
    KeySpec::default(
        "gather",
        Kind::duration_or_zero("1ms", "10s"),
        "0ms",
        "Wait this long for more events before writing: less work, more latency. 0ms: off.",
    ),
    KeySpec::default(
        "linger",
        Kind::duration_or_zero("1ms", "1d"),
        "30s",
        "Upstream kept after the last subscriber left. 0s: closed at once.",
    ),
    KeySpec::default(
        "when_down",
        Kind::Enum(&["hold", "refuse"]),
        "hold",
        "Upstream down when a client comes: 200 with heartbeats and retries, or 502, 503, 504.",
    ),
    KeySpec::default(
        "end",
        Kind::Enum(&["clean", "cut"]),
        "clean",
        "How a response ends that its client should come back from (expired, revoked, max_age, drain, lagged, replaced); \"cut\": \
         without its last chunk, or with a reset of the HTTP/2 stream.",
    ),
    KeySpec::default(
        "incremental",
        Kind::Bool,
        "true",
        "Send `Incremental: ?1` (RFC 10036): proxies pass on each piece at once.",
    ),
    KeySpec::default(
        "answer_within",
        Kind::duration_or_zero("1ms", "10m"),
        "5s",
        "With when_down = \"hold\" a client has its head, prelude and heartbeats after this long, even if the outcome or the \
         verdict is not known yet. 0s: it waits.",
    ),
];

pub(super) const CORS: &[KeySpec] = &[
    KeySpec::required(
        "origins",
        Kind::List(&Kind::String),
        "Exact origins, of apps too (capacitor://localhost), or \"*\" alone where there are no credentials.",
    ),
    KeySpec::default("credentials", Kind::Bool, "false", "Whether pages may send cookies."),
    KeySpec::default(
        "headers",
        Kind::List(&Kind::String),
        "[]",
        "Request headers that pages may send besides authorization, cache-control, content-type, last-event-id and \
         share.headers.",
    ),
];

/// `[routes.share]`.
pub(super) fn share(
    table: &Table<'_>,
    access: Option<&Access>,
    upstream: Option<&UpstreamSettings>,
    query_id: &[String],
) -> ShareSettings {
    let mut share = ShareSettings::default();
    let (mut parameters, mut fields) = (Distinct::new(), Distinct::new());
    for value in table.items("query") {
        let Some(name) = value.string().and_then(|name| parsers::parameter(&value, name)) else { continue };
        if !parameters.insert(&value, name.clone()) {
            continue;
        }
        if query_id.contains(&name) {
            value.report("is a parameter of the last event id (replay.query_id)");
        } else if access.is_some_and(|access| query_names(access).any(|token| token == name)) {
            value.report("is where the token stands (auth.token_from): tokens do not go upstream");
        }
        if upstream.is_some_and(|upstream| upstream.resume == Resume::Query(name.clone())) {
            value.report("is where the last event id goes (upstreams.resume)");
        }
        share.query.push(name);
    }
    let is_configured = |name: &HeaderName| {
        upstream.is_some_and(|upstream| {
            let is_resume = upstream.resume == Resume::Header(name.clone());
            is_resume || upstream.headers.iter().any(|(configured, _)| configured == name)
        })
    };
    for value in table.items("headers") {
        let Some(name) = value.string().and_then(|name| parsers::header(&value, name)) else { continue };
        if matches!(name.as_str(), "authorization" | "cookie") {
            value.report("tokens and cookies do not go upstream");
        } else if is_token_field(access, &name) {
            value.report("is where the token stands (auth.token_from): tokens do not go upstream");
        } else if fields.insert(&value, name.clone()) && is_configured(&name) {
            value.report("is also written by the upstream's own headers or resume");
        }
        share.headers.push(name);
    }
    let claims = table.entries("claims");
    if !claims.is_empty() && access == Some(&Access::Public) {
        table.report("claims", "the route is public: there are no claims");
    }
    for (name, value) in claims {
        let name = parsers::header(&value, name);
        let claim = value.string().and_then(|claim| parsers::claim(&value, claim));
        let Some((name, claim)) = name.zip(claim) else { continue };
        if !fields.insert(&value, name.clone()) {
            continue;
        }
        if is_token_field(access, &name) {
            value.report("is where the token stands (auth.token_from): tokens do not go upstream");
        } else if is_configured(&name) {
            value.report("is also written by the upstream's own headers or resume");
        }
        share.claims.push((name, claim));
    }
    share
}

/// `[routes.replay]`: what is kept, whose ids, and what one client gets.
pub(super) fn replay(table: &Table<'_>, has_store: bool) -> (Retention, Ids, ReplaySettings) {
    let retention = Retention { events: table.count("events"), bytes: table.size("bytes"), age: table.duration("age") };
    let ids = table.variant("ids", &[("keep", Ids::Keep), ("fill", Ids::Fill), ("replace", Ids::Replace)]);
    let verdicts = [
        ("off", VerdictForm::Off),
        ("comment", VerdictForm::Comment),
        ("gap", VerdictForm::Gap),
        ("event", VerdictForm::Event),
    ];
    let query_id = table.strings("query_id", |value, name| parsers::parameter(value, name));
    let replay = ReplaySettings {
        start: table.get("start").and_then(|value| start(&value)).unwrap_or(Start::Live),
        on_gap: table.variant("on_gap", &[("oldest", OnGap::Oldest), ("live", OnGap::Live)]),
        verdict: table.variant("verdict", &verdicts),
        query_id,
        store: table.variant("store", &[("memory", LogStorage::Memory), ("disk", LogStorage::Disk)]),
        read_through: read_through(table, ids),
    };
    if replay.store == LogStorage::Disk && !has_store {
        table.report("store", "\"disk\" needs a [store] table");
    }
    (retention, ids, replay)
}

/// The limit is read and checked also where it bounds nothing.
fn read_through(table: &Table<'_>, ids: Ids) -> Option<CatchUpLimit> {
    let is_on = table.boolean("read_through");
    let limit = table.table("read_through_limit");
    let limit = CatchUpLimit {
        events: limit.count("events"),
        bytes: limit.size("bytes"),
        concurrent: limit.count("concurrent"),
    };
    if is_on && ids != Ids::Keep {
        table.report("read_through", "needs ids = \"keep\": the upstream knows no ids but its own");
    }
    is_on.then_some(limit)
}

fn start(value: &Value<'_>) -> Option<Start> {
    let text = value.string()?;
    let last = |text: &str| text.strip_prefix("last:")?.parse().ok().filter(|n| (1..=10_000_000).contains(n));
    let start = match text {
        "live" => Some(Start::Live),
        "oldest" => Some(Start::Oldest),
        _ => last(text).map(Start::Last),
    };
    if start.is_none() {
        value.report("expected \"live\", \"oldest\" or \"last:N\" with N from 1 to 10000000");
    }
    start
}

/// `[routes.delivery]`, and how long the upstream is kept without subscribers.
pub(super) fn delivery(table: &Table<'_>) -> (DeliverySettings, Duration) {
    let delivery = DeliverySettings {
        heartbeat: table.duration("heartbeat"),
        retry: table.duration("retry"),
        max_age: table.nonzero_duration("max_age"),
        lagged: table.variant("lagged", &[("disconnect", Lagging::Disconnect), ("skip", Lagging::Skip)]),
        latest: table.boolean("latest"),
        gather: table.duration("gather"),
        end: table.variant("end", &[("clean", EndForm::Clean), ("cut", EndForm::Cut)]),
        incremental: table.boolean("incremental"),
        answer_within: table.nonzero_duration("answer_within"),
        when_down: table.variant("when_down", &[("hold", WhenDown::Hold), ("refuse", WhenDown::Refuse)]),
    };
    (delivery, table.duration("linger"))
}

/// `[routes.cors]`.
pub(super) fn cors(table: &Table<'_>) -> Cors {
    let values = table.nonempty_items("origins");
    let (mut origins, mut distinct) = (Vec::new(), Distinct::new());
    let credentials = table.boolean("credentials");
    for value in &values {
        let Some(origin) = parsers::origin(value) else { continue };
        if origin == "*" && credentials {
            value.report("\"*\" cannot stand with credentials = true: any page could read with the user's cookies");
        } else if origin == "*" && values.len() > 1 {
            value.report("\"*\" stands alone: it is every origin");
        } else {
            distinct.insert(value, origin.clone());
        }
        origins.push(origin);
    }
    let (mut headers, mut distinct) = (Vec::new(), Distinct::new());
    for value in table.items("headers") {
        // Nothing of it goes upstream: any name may stand here.
        match value.string().map(str::parse::<HeaderName>) {
            Some(Ok(name)) => headers.extend(distinct.insert(&value, name.clone()).then_some(name)),
            Some(Err(_)) => value.report("is not a header name"),
            None => {}
        }
    }
    Cors { origins, credentials, headers }
}
