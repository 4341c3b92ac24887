//! The tables of a route other than `auth`: `share`, `replay`, `delivery`, `cors`.
//!
//! Values of a request reach the upstream only if they are listed in `share`, and every listed value is part of the
//! stream key.

use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;

use super::auth::{is_token_header, token_parameters};
use super::parsers;
use super::references::References;
use crate::coding::ContentCoding;
use crate::config::engine::{
    Distinct, List, Map, OneOf, Value, duration, duration_or_zero, integer, keys, size, variants,
};
use crate::route::{
    Access, Cors, DeliverySettings, EndForm, Lagging, LogStorage, OnGap, ReplaySettings, ShareSettings, Start,
    VerdictForm, WhenDown,
};
use crate::stream::{CatchUpLimit, CodingWindow, Ids, Policy, Retention};
use crate::upstream::{Resume, UpstreamSettings};

keys! {
    pub(super) struct ShareTable<'a> {
        /// Query parameters, in this order. All values of a repeated parameter count.
        query: List<'a, &'a str> = "[]",
        /// Request headers.
        headers: List<'a, &'a str> = "[]",
        /// HEADER = "claim": the claim is sent upstream in that header.
        claims: Map<'a, &'a str> = optional,
    }

    pub(super) struct ReplayTable<'a> {
        /// Maximum number of events in the log of a stream.
        events: usize = "1000" in integer(1, 10_000_000),
        /// Maximum size of the log of a stream. The newest event is kept whatever its size, until it is too old.
        bytes: usize = "8MiB" in size("1KiB", "64GiB"),
        /// Maximum age of an event. Older events, even the newest one, are evicted within 5 s.
        age: Duration = "10m" in duration("10ms", "30d"),
        /// Start of a client without an id: "live", "oldest", "last:N".
        start: &'a str = "live",
        /// Start of a client whose id is not in the log.
        on_gap: OnGap = "oldest",
        /// "keep": the upstream's ids. "fill": events without an id get one. "replace": every event gets a new id.
        ids: Ids = "keep",
        /// Form in which the outcome of a resume is reported in the stream. "gap": as comments, and as an event for a gap.
        verdict: VerdictForm = "comment",
        /// Query parameters used if Last-Event-ID is absent, one name or several. The last value counts.
        pub(super) query_id: OneOf<'a, &'a str, List<'a, &'a str>> = r#"["last_event_id", "lastEventId"]"#,
        /// Storage of the log. "disk": it survives a restart; needs [store]. "cluster": gateways share it, and one
        /// connection to the upstream; needs [cluster].
        store: LogStorage = "memory",
        /// Fetch the events after an id that is older than the log from the upstream's history.
        read_through: bool = "false",
        /// Bounds of read_through.
        read_through_limit: ReadThroughTable<'a> = optional,
    }

    struct ReadThroughTable<'a> {
        /// Maximum number of events per fetch.
        events: usize = "10000" in integer(1, 10_000_000),
        /// Maximum size per fetch.
        bytes: usize = "8MiB" in size("1KiB", "1GiB"),
        /// Maximum number of fetches of the route at a time.
        concurrent: usize = "16" in integer(1, 10_000),
    }

    pub(super) struct DeliveryTable<'a> {
        /// Time without an event after which a comment is sent.
        heartbeat: Duration = "15s" in duration("50ms", "10m"),
        /// Reconnection time sent to clients until the upstream sends its own. Jittered per client.
        retry: Duration = "2s" in duration("1ms", "1h"),
        /// Maximum duration of a response. 0s: off.
        max_age: Duration = "0s" in duration_or_zero("50ms", "30d"),
        /// Treatment of a client that falls behind the event log: end its response, or continue with a gap verdict.
        lagged: Lagging = "disconnect",
        /// Send only the newest event of each type to a lagging client.
        latest: bool = "false",
        /// Time to wait for more events before writing. Saves CPU and adds latency. 0ms: off.
        gather: Duration = "0ms" in duration_or_zero("1ms", "10s"),
        /// Time for which a stream is kept after its last subscriber leaves. 0s: it is closed at once.
        linger: Duration = "30s" in duration_or_zero("1ms", "1d"),
        /// Answer to a client while the upstream is down. "hold": 200 with heartbeats while the gateway retries.
        /// "refuse": 502, 503 or 504.
        when_down: WhenDown = "hold",
        /// Form of a response's end if the client should reconnect (expired, revoked, max_age, drain, lagged, replaced), or
        /// if the answer to a POST breaks off while it is read. "cut": without the last chunk, or with a reset of the
        /// HTTP/2 stream.
        end: EndForm = "clean",
        /// Send `Incremental: ?1` (RFC 10036), which asks proxies to forward each piece at once.
        incremental: bool = "true",
        /// With when_down = "hold", time after which a client gets the response head, prelude and heartbeats even if
        /// the outcome or the verdict is not known yet. 0s: the client waits.
        answer_within: Duration = "5s" in duration_or_zero("1ms", "10m"),
        /// Content codings of responses: "zstd", "gzip". Of those that the client prefers, the first one listed here. Each
        /// event is compressed once for all clients. docs/compression.md says when not to.
        compression: List<'a, ContentCoding> = "[]",
        /// Clients share a context of compression, which begins anew this often.
        compression_window: CompressionWindowTable<'a> = optional,
    }

    pub(super) struct CompressionWindowTable<'a> {
        /// Maximum number of events of one context.
        events: usize = "64" in integer(1, 10_000),
        /// Maximum time of one context.
        time: Duration = "10s" in duration("100ms", "1h"),
    }

    pub(super) struct CorsTable<'a> {
        /// Exact origins, including those of apps (capacitor://localhost). Or "*" alone, without credentials.
        origins: List<'a, &'a str> = required,
        /// Allow pages to send cookies.
        credentials: bool = "false",
        /// Request headers that pages may send, in addition to authorization, cache-control, content-type,
        /// last-event-id and share.headers.
        headers: List<'a, &'a str> = "[]",
    }
}

variants!(ContentCoding { "zstd" => Zstd, "gzip" => Gzip });
variants!(OnGap { "oldest" => Oldest, "live" => Live });
variants!(Ids { "keep" => Keep, "fill" => Fill, "replace" => Replace });
variants!(VerdictForm { "off" => Off, "comment" => Comment, "gap" => Gap, "event" => Event });
variants!(LogStorage { "memory" => Memory, "disk" => Disk, "cluster" => Cluster });
variants!(Lagging { "disconnect" => Disconnect, "skip" => Skip });
variants!(WhenDown { "hold" => Hold, "refuse" => Refuse });
variants!(EndForm { "clean" => Clean, "cut" => Cut });

/// Reads `[routes.share]`.
pub(super) fn share(
    table: &ShareTable<'_>,
    access: Option<&Access>,
    upstream: Option<&UpstreamSettings>,
    query_id: &[String],
) -> ShareSettings {
    let mut share = ShareSettings::default();
    let (mut parameters, mut headers) = (Distinct::new(), Distinct::new());
    for value in table.query.items() {
        let Some(name) = value.read().and_then(|name| parsers::parameter(&value, name)) else { continue };
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
            let is_token = upstream.token.is_some() && *name == AUTHORIZATION;
            is_resume || is_token || upstream.headers.iter().any(|(configured, _)| configured == name)
        })
    };
    for value in table.headers.items() {
        let Some(name) = value.read().and_then(|name| parsers::header(&value, name)) else { continue };
        if matches!(name.as_str(), "authorization" | "cookie") {
            value.report("tokens and cookies are never sent upstream");
        } else if matches!(name.as_str(), "forwarded" | "x-forwarded-for") {
            value.report("never sent upstream: the client may have written it (listeners.client_address)");
        } else if is_token_header(access, &name) {
            value.report("already used for the token (auth.token_from), and tokens are never sent upstream");
        } else if headers.insert(&value, name.clone()) && is_configured(&name) {
            value.report("already set by the upstream's headers, token or resume");
        }
        share.headers.push(name);
    }
    let claims = table.claims.entries();
    if !claims.is_empty() && access == Some(&Access::Public) {
        table.claims.report("not allowed on a public route, which has no claims");
    }
    for (name, value) in claims {
        let name = parsers::header(&value, name);
        let claim = value.read().and_then(|claim| parsers::claim(&value, claim));
        let Some((name, claim)) = name.zip(claim) else { continue };
        if !headers.insert(&value, name.clone()) {
            continue;
        }
        if is_token_header(access, &name) {
            value.report("already used for the token (auth.token_from), and tokens are never sent upstream");
        } else if is_configured(&name) {
            value.report("already set by the upstream's headers, token or resume");
        }
        share.claims.push((name, claim));
    }
    share
}

/// Reads `[routes.replay]`: event ids, replay to clients, and what it has of a stream's policy.
/// Beside `[routes.post]` the defaults are another start, and ids for all events.
pub(super) fn replay(
    table: &ReplayTable<'_>,
    references: References<'_>,
    is_opened_by_post: bool,
) -> (Policy, Ids, ReplaySettings) {
    let retention = Retention { events: table.events.get(), bytes: table.bytes.get(), age: table.age.get() };
    let (storage, verdict) = (table.store.get(), table.verdict.get());
    let ids = if is_opened_by_post && !table.ids.is_given() { Ids::Fill } else { table.ids.get() };
    let default_start = if is_opened_by_post { Start::Oldest } else { Start::Live };
    if is_opened_by_post && table.read_through.get() {
        table.read_through.report("would send a POST again: not allowed beside [routes.post]");
    }
    let replay = ReplaySettings {
        start: table.start.value().and_then(|value| start(&value)).unwrap_or(default_start),
        on_gap: table.on_gap.get(),
        query_id: table.query_id.strings(parsers::parameter),
        read_through: read_through(table, ids),
    };
    match storage {
        LogStorage::Disk if !references.has_store => table.store.report("\"disk\" needs a [store] table"),
        LogStorage::Cluster if !references.has_cluster => table.store.report("\"cluster\" needs a [cluster] table"),
        LogStorage::Memory | LogStorage::Disk | LogStorage::Cluster => {}
    }
    (Policy { retention, storage, verdict, ..Policy::default() }, ids, replay)
}

/// Reads `read_through` and its limit, which is checked even if `read_through` is off.
fn read_through(table: &ReplayTable<'_>, ids: Ids) -> Option<CatchUpLimit> {
    let is_on = table.read_through.get();
    let limit = table.read_through_limit.table();
    let limit =
        CatchUpLimit { events: limit.events.get(), bytes: limit.bytes.get(), concurrent: limit.concurrent.get() };
    if is_on && ids != Ids::Keep {
        table.read_through.report("needs ids = \"keep\": the upstream only knows its own ids");
    }
    is_on.then_some(limit)
}

fn start(value: &Value<'_>) -> Option<Start> {
    let text = value.read()?;
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

/// Reads `[routes.delivery]`. Also returns `linger`. Beside `[routes.post]` the defaults are that clients wait for the
/// outcome, are refused when the upstream is down, and that a stream goes on without readers for longer.
pub(super) fn delivery(table: &DeliveryTable<'_>, is_opened_by_post: bool) -> (DeliverySettings, Duration) {
    let is_post_default = |is_given: bool| is_opened_by_post && !is_given;
    let window = table.compression_window.table();
    let delivery = DeliverySettings {
        heartbeat: table.heartbeat.get(),
        retry: table.retry.get(),
        max_age: table.max_age.nonzero(),
        lagged: table.lagged.get(),
        latest: table.latest.get(),
        gather: table.gather.get(),
        end: table.end.get(),
        incremental: table.incremental.get(),
        answer_within: match is_post_default(table.answer_within.is_given()) {
            true => None,
            false => table.answer_within.nonzero(),
        },
        when_down: match is_post_default(table.when_down.is_given()) {
            true => WhenDown::Refuse,
            false => table.when_down.get(),
        },
        compression: codings(table.compression.items()),
        compression_window: CodingWindow { events: window.events.get(), time: window.time.get() },
    };
    let linger = match is_post_default(table.linger.is_given()) {
        true => POST_LINGER,
        false => table.linger.get(),
    };
    (delivery, linger)
}

/// Reads `compression`.
fn codings(list: List<'_, ContentCoding>) -> Vec<ContentCoding> {
    let (mut codings, mut distinct) = (Vec::new(), Distinct::new());
    for value in list {
        if let Some(coding) = value.read() {
            codings.extend(distinct.insert(&value, coding.as_str().to_owned()).then_some(coding));
        }
    }
    codings
}

/// Default time for which a stream that was opened by `POST` goes on without readers.
const POST_LINGER: Duration = Duration::from_secs(600);

/// Reads `[routes.cors]`.
pub(super) fn cors(table: &CorsTable<'_>) -> Cors {
    let values = table.origins.nonempty_items();
    let (mut origins, mut distinct) = (Vec::new(), Distinct::new());
    let credentials = table.credentials.get();
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
    for value in table.headers.items() {
        // Any name is allowed, because these headers are not sent upstream.
        match value.read().map(str::parse::<HeaderName>) {
            Some(Ok(name)) => headers.extend(distinct.insert(&value, name.clone()).then_some(name)),
            Some(Err(_)) => value.report("invalid header name (RFC 9110, 5.1)"),
            None => {}
        }
    }
    Cors { origins, credentials, headers }
}
