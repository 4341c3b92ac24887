//! The tables of a route other than `auth`: `share`, `replay`, `delivery`, `cors`.
//!
//! Values of a request reach the upstream only if they are listed in `share`, and every listed value is part of the
//! stream key.

use std::time::Duration;

use http::HeaderName;

use super::auth::{is_token_header, token_parameters};
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
        "Query parameters, in this order. All values of a repeated parameter count.",
    ),
    KeySpec::default("headers", Kind::List(&Kind::String), "[]", "Request headers."),
    KeySpec::optional(
        "claims",
        Kind::Map(&Kind::String),
        "HEADER = \"claim\": the claim is sent upstream in that header.",
    ),
];

pub(super) const REPLAY: &[KeySpec] = &[
    KeySpec::default(
        "events",
        Kind::integer(1, 10_000_000),
        "1000",
        "Maximum number of events in the log of a stream.",
    ),
    KeySpec::default(
        "bytes",
        Kind::size("1KiB", "64GiB"),
        "8MiB",
        "Maximum size of the log of a stream. The newest event is kept whatever its size, until it is too old.",
    ),
    KeySpec::default(
        "age",
        Kind::duration("10ms", "30d"),
        "10m",
        "Maximum age of an event. Older events, even the newest one, are evicted within 5 s.",
    ),
    KeySpec::default(
        "start",
        Kind::String,
        "live",
        "Where a client without an id starts: \"live\", \"oldest\", \"last:N\".",
    ),
    KeySpec::default(
        "on_gap",
        Kind::Enum(&["oldest", "live"]),
        "oldest",
        "Where a client starts if its id is not in the log.",
    ),
    KeySpec::default(
        "ids",
        Kind::Enum(&["keep", "fill", "replace"]),
        "keep",
        "\"keep\": the upstream's ids. \"fill\": events without an id get one. \"replace\": every event gets a new id.",
    ),
    KeySpec::default(
        "verdict",
        Kind::Enum(&["off", "comment", "gap", "event"]),
        "comment",
        "How the outcome of a resume is reported in the stream. \"gap\": as comments, and as an event for a gap.",
    ),
    KeySpec::default(
        "query_id",
        Kind::OneOf(&[Kind::String, Kind::List(&Kind::String)]),
        r#"["last_event_id", "lastEventId"]"#,
        "Query parameters used if Last-Event-ID is absent, one name or several. The last value counts.",
    ),
    KeySpec::default(
        "store",
        Kind::Enum(&["memory", "disk"]),
        "memory",
        "Where the log is kept. \"disk\": it survives a restart; needs [store].",
    ),
    KeySpec::default(
        "read_through",
        Kind::Bool,
        "false",
        "Fetch the events after an id that is older than the log from the upstream's history.",
    ),
    KeySpec::optional("read_through_limit", Kind::Table(READ_THROUGH), "Bounds of read_through."),
];

const READ_THROUGH: &[KeySpec] = &[
    KeySpec::default("events", Kind::integer(1, 10_000_000), "10000", "Maximum number of events per fetch."),
    KeySpec::default("bytes", Kind::size("1KiB", "1GiB"), "8MiB", "Maximum size per fetch."),
    KeySpec::default("concurrent", Kind::integer(1, 10_000), "16", "Maximum number of fetches of the route at a time."),
];

pub(super) const DELIVERY: &[KeySpec] = &[
    KeySpec::default(
        "heartbeat",
        Kind::duration("50ms", "10m"),
        "15s",
        "Time without an event after which a comment is sent.",
    ),
    KeySpec::default(
        "retry",
        Kind::duration("1ms", "1h"),
        "2s",
        "Reconnection time sent to clients until the upstream sends its own. Jittered per client.",
    ),
    KeySpec::default(
        "max_age",
        Kind::duration_or_zero("50ms", "30d"),
        "0s",
        "Maximum duration of a response. 0s: off.",
    ),
    KeySpec::default(
        "lagged",
        Kind::Enum(&["disconnect", "skip"]),
        "disconnect",
        "Treatment of a client that falls behind the event log: end its response, or continue with a gap verdict.",
    ),
    KeySpec::default("latest", Kind::Bool, "false", "Send only the newest event of each type to a lagging client."),
    KeySpec::default(
        "gather",
        Kind::duration_or_zero("1ms", "10s"),
        "0ms",
        "Time to wait for more events before writing. Saves CPU and adds latency. 0ms: off.",
    ),
    KeySpec::default(
        "linger",
        Kind::duration_or_zero("1ms", "1d"),
        "30s",
        "Time for which a stream is kept after its last subscriber leaves. 0s: it is closed at once.",
    ),
    KeySpec::default(
        "when_down",
        Kind::Enum(&["hold", "refuse"]),
        "hold",
        "Answer to a client while the upstream is down. \"hold\": 200 with heartbeats while the gateway retries. \"refuse\": 502, 503 or 504.",
    ),
    KeySpec::default(
        "end",
        Kind::Enum(&["clean", "cut"]),
        "clean",
        "How a response ends if the client should reconnect (expired, revoked, max_age, drain, lagged, replaced). \"cut\": \
         without the last chunk, or with a reset of the HTTP/2 stream.",
    ),
    KeySpec::default(
        "incremental",
        Kind::Bool,
        "true",
        "Send `Incremental: ?1` (RFC 10036), which asks proxies to forward each piece at once.",
    ),
    KeySpec::default(
        "answer_within",
        Kind::duration_or_zero("1ms", "10m"),
        "5s",
        "With when_down = \"hold\", time after which a client gets the response head, prelude and heartbeats even if the outcome \
         or the verdict is not known yet. 0s: the client waits.",
    ),
];

pub(super) const CORS: &[KeySpec] = &[
    KeySpec::required(
        "origins",
        Kind::List(&Kind::String),
        "Exact origins, including those of apps (capacitor://localhost). Or \"*\" alone, without credentials.",
    ),
    KeySpec::default("credentials", Kind::Bool, "false", "Allow pages to send cookies."),
    KeySpec::default(
        "headers",
        Kind::List(&Kind::String),
        "[]",
        "Request headers that pages may send, in addition to authorization, cache-control, content-type, last-event-id and \
         share.headers.",
    ),
];

/// Reads `[routes.share]`.
pub(super) fn share(
    table: &Table<'_>,
    access: Option<&Access>,
    upstream: Option<&UpstreamSettings>,
    query_id: &[String],
) -> ShareSettings {
    let mut share = ShareSettings::default();
    let (mut parameters, mut headers) = (Distinct::new(), Distinct::new());
    for value in table.items("query") {
        let Some(name) = value.string().and_then(|name| parsers::parameter(&value, name)) else { continue };
        if !parameters.insert(&value, name.clone()) {
            continue;
        }
        if query_id.contains(&name) {
            value.report("already used for the last event id (replay.query_id)");
        } else if access.is_some_and(|access| token_parameters(access).any(|token| token == name)) {
            value.report("already used for the token (auth.token_from), and tokens are never sent upstream");
        }
        if upstream.is_some_and(|upstream| upstream.resume == Resume::Query(name.clone())) {
            value.report("already used to send the last event id (upstreams.resume)");
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
            value.report("tokens and cookies are never sent upstream");
        } else if is_token_header(access, &name) {
            value.report("already used for the token (auth.token_from), and tokens are never sent upstream");
        } else if headers.insert(&value, name.clone()) && is_configured(&name) {
            value.report("already set by the upstream's headers or resume");
        }
        share.headers.push(name);
    }
    let claims = table.entries("claims");
    if !claims.is_empty() && access == Some(&Access::Public) {
        table.report("claims", "not allowed on a public route, which has no claims");
    }
    for (name, value) in claims {
        let name = parsers::header(&value, name);
        let claim = value.string().and_then(|claim| parsers::claim(&value, claim));
        let Some((name, claim)) = name.zip(claim) else { continue };
        if !headers.insert(&value, name.clone()) {
            continue;
        }
        if is_token_header(access, &name) {
            value.report("already used for the token (auth.token_from), and tokens are never sent upstream");
        } else if is_configured(&name) {
            value.report("already set by the upstream's headers or resume");
        }
        share.claims.push((name, claim));
    }
    share
}

/// Reads `[routes.replay]`: retention, event ids, and replay to clients.
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

/// Reads `read_through` and its limit, which is checked even if `read_through` is off.
fn read_through(table: &Table<'_>, ids: Ids) -> Option<CatchUpLimit> {
    let is_on = table.boolean("read_through");
    let limit = table.table("read_through_limit");
    let limit = CatchUpLimit {
        events: limit.count("events"),
        bytes: limit.size("bytes"),
        concurrent: limit.count("concurrent"),
    };
    if is_on && ids != Ids::Keep {
        table.report("read_through", "needs ids = \"keep\": the upstream only knows its own ids");
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

/// Reads `[routes.delivery]`. Also returns `linger`.
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

/// Reads `[routes.cors]`.
pub(super) fn cors(table: &Table<'_>) -> Cors {
    let values = table.nonempty_items("origins");
    let (mut origins, mut distinct) = (Vec::new(), Distinct::new());
    let credentials = table.boolean("credentials");
    for value in &values {
        let Some(origin) = parsers::origin(value) else { continue };
        if origin == "*" && credentials {
            value.report("\"*\" conflicts with credentials = true: any page could read events with the user's cookies");
        } else if origin == "*" && values.len() > 1 {
            value.report("\"*\" must be alone: it includes every origin");
        } else {
            distinct.insert(value, origin.clone());
        }
        origins.push(origin);
    }
    let (mut headers, mut distinct) = (Vec::new(), Distinct::new());
    for value in table.items("headers") {
        // Any name is allowed, because these headers are not sent upstream.
        match value.string().map(str::parse::<HeaderName>) {
            Some(Ok(name)) => headers.extend(distinct.insert(&value, name.clone()).then_some(name)),
            Some(Err(_)) => value.report("invalid header name (RFC 9110, 5.1)"),
            None => {}
        }
    }
    Cors { origins, credentials, headers }
}
