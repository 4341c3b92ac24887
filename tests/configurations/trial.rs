//! A draw: a valid configuration, an upstream that misbehaves, one or two clients, and a drain.
//!
//! Always true: a draw depends on its seed alone (and on how the system schedules it), and leaves nothing behind.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use rillgate::config::{Config, parse_duration};
use rillgate::{Drained, Gateway};
use rustls::ClientConfig;
use toml::{Table, Value};

use crate::ask::{self, NoAnswer, Way};
use crate::draw::{Draw, Environment, mend};
use crate::odd::{Odd, Upstream};

/// The state that all draws share.
pub struct SharedFixture {
    pub schema: serde_json::Value,
    pub files: tempfile::TempDir,
    pub tls: Arc<ClientConfig>,
    /// A token that the drawn issuers accept.
    pub token: String,
}

/// The outcome of a draw.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Configurations that the program refused, even without the keys to which it objected.
    pub refused: usize,
    /// Configurations that were accepted after keys had been removed.
    pub mended: usize,
    pub statuses: Vec<u16>,
    pub upstream_requests: usize,
    /// Responses that were not awaited, because the configuration allows them to take too long.
    pub unawaited: usize,
}

/// A description of a draw for failure messages.
pub struct Account {
    pub config: String,
    pub answers: Vec<String>,
    pub what: String,
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\nThe upstream answers in turn: {:#?}\n{}", self.what, self.answers, self.config)
    }
}

/// A deadline that is long enough for a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);
/// The longest wait for a head; clients whose configuration allows more disconnect without a response.
const PATIENCE: Duration = Duration::from_secs(1);
/// The time that a response may continue after its head.
const LIFE: Duration = Duration::from_millis(60);

/// Runs one draw.
pub async fn play(seed: u64, fixture: &SharedFixture, upstream: &Upstream) -> Result<Outcome, Box<Account>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let store = tempfile::tempdir().expect("a folder");
    let environment = Environment {
        upstream: upstream.url.clone(),
        files: fixture.files.path().to_owned(),
        store: store.path().to_owned(),
    };
    let answers: Vec<Odd> = (0..rng.usize(1..=4)).map(|_| Odd::draw(&mut rng)).collect();
    upstream.answer(&answers);
    let mut outcome = Outcome::default();
    let (file, text, gateway) = accepted(&mut rng, fixture, &environment, &mut outcome);
    let tried = try_out(&mut rng, &file, gateway, fixture, upstream, &answers, &mut outcome).await;
    outcome.upstream_requests = upstream.requests();
    match tried {
        Ok(()) => Ok(outcome),
        Err(what) => {
            Err(Box::new(Account { config: text, answers: answers.into_iter().map(|odd| odd.name).collect(), what }))
        }
    }
}

/// Draws until the program accepts the configuration, removing the keys to which it objects.
fn accepted(
    rng: &mut fastrand::Rng,
    fixture: &SharedFixture,
    environment: &Environment,
    outcome: &mut Outcome,
) -> (Table, String, Gateway) {
    loop {
        let mut file = Draw { schema: &fixture.schema, environment, rng: rng.fork() }.file();
        let mut is_mended = false;
        loop {
            let text = toml::to_string(&file).expect("a table can be written");
            let problems = match Config::parse(&text, Path::new("drawn.toml")) {
                Ok(config) => match Gateway::bind(&config) {
                    Ok(gateway) => {
                        outcome.mended += usize::from(is_mended);
                        return (file, text, gateway);
                    }
                    Err(_) => break,
                },
                Err(problems) => problems,
            };
            // From the end, because removing an element of an array moves the later ones.
            is_mended = problems.iter().rev().filter(|problem| mend(&mut file, &problem.key)).count() > 0;
            if !is_mended || file.get("routes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                break;
            }
        }
        outcome.refused += 1;
    }
}

async fn try_out(
    rng: &mut fastrand::Rng,
    file: &Table,
    gateway: Gateway,
    fixture: &SharedFixture,
    upstream: &Upstream,
    answers: &[Odd],
    outcome: &mut Outcome,
) -> Result<(), String> {
    let (address, admin) = (gateway.addresses()[0], gateway.admin_address().expect("always drawn"));
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(gateway.run(async move { drop(left.await) }));

    let listener = &file["listeners"][0];
    let is_proxied = listener.get("proxy_protocol").is_some_and(|on| on.as_bool() == Some(true))
        || listener.get("client_address").is_some_and(|source| source.as_str() == Some("proxy-protocol"));
    let way = Way {
        address,
        tls: listener.get("tls").map(|_| fixture.tls.clone()),
        is_http2: false,
        preamble: if is_proxied { b"PROXY TCP4 192.0.2.1 192.0.2.2 4242 443\r\n" } else { b"" },
    };
    let mut open = Vec::new();
    for _ in 0..rng.usize(1..=2) {
        let way = Way { is_http2: rng.bool(), ..way.clone() };
        let (target, headers) = request(rng, file, fixture);
        let patience = patience(file, fixture, answers, &target);
        match way.ask(&target, headers, patience.map_or(LIFE * 2, |patience| patience + DEADLINE)).await {
            Ok(mut answer) => {
                outcome.statuses.push(answer.status);
                answer.read_until(|| upstream.requests() >= 5, LIFE).await;
                open.push(answer);
            }
            Err(NoAnswer::Late) if patience.is_none() => outcome.unawaited += 1,
            Err(NoAnswer::Closed(_)) if is_strict(file, fixture) => outcome.unawaited += 1,
            Err(NoAnswer::Late) => return Err(format!("no answer to {target} within {patience:?} and {DEADLINE:?}")),
            Err(NoAnswer::Closed(error)) => {
                let protocol = if way.is_http2 { "HTTP/2" } else { "HTTP/1.1" };
                return Err(format!("no answer to {target} over {protocol}: {error:?}"));
            }
        }
        if rng.bool() {
            open.clear();
        }
    }

    let livez = ask::admin(admin, "/livez", DEADLINE).await.map_err(|error| format!("/livez: {error}"))?;
    if !livez.starts_with("HTTP/1.1 200") {
        return Err(format!("/livez: {livez}"));
    }
    let metrics = ask::admin(admin, "/metrics", DEADLINE).await.map_err(|error| format!("/metrics: {error}"))?;
    if let Some(line) =
        metrics.lines().find(|line| line.starts_with("rillgate_task_panics_total") && !line.ends_with(" 0"))
    {
        return Err(line.to_owned());
    }
    drop(leave);
    let drain = |key: &str| setting(file, fixture, &format!("server.drain.{key}"));
    let departure = drain("notice") + drain("deadline") * 2 + DEADLINE;
    match tokio::time::timeout(departure, running).await {
        Ok(Ok(Ok(Drained::Clean | Drained::Aborted { .. }))) => {}
        Ok(other) => return Err(format!("left with {other:?}")),
        Err(_) => return Err(format!("not left after {departure:?}")),
    }
    Ok(())
}

/// Draws a request that may or may not match a route.
fn request(rng: &mut fastrand::Rng, file: &Table, fixture: &SharedFixture) -> (String, HeaderMap) {
    const ODD: &[&str] = &["%C3%A9", "a%3Ab", "1.5", "~", "%2e%2e", "%00", "%"];
    const IDS: &[&[u8]] = &[
        b"1",
        b"7",
        b"12",
        b"",
        b" 1 ",
        b"\xe9",
        "é".as_bytes(),
        b"nobody's",
        b"aaaaaaaa-1",
        b"aaaaaaaa-18446744073709551616",
    ];
    let routes = file["routes"].as_array().expect("always drawn");
    let path = routes[rng.usize(..routes.len())]["path"].as_str().expect("required");
    let mut target = String::new();
    for segment in path.split('/').skip(1) {
        let segment = match segment.starts_with('{') {
            true if rng.u8(..6) == 0 => ODD[rng.usize(..ODD.len())],
            true => "a",
            false => segment,
        };
        write!(target, "/{segment}").expect("a string takes everything");
    }
    let queries = [
        "",
        "",
        "",
        "?follow=false",
        "?limit=1",
        "?limit=99999999999999999999",
        "?last_event_id=7",
        "?topic=a&topic=b",
        "?last_event_id=%00",
        "?ticket=x",
    ];
    target += queries[rng.usize(..queries.len())];

    let mut headers = HeaderMap::new();
    if rng.u8(..8) > 0 {
        headers.insert("accept", HeaderValue::from_static("text/event-stream"));
    }
    if rng.u8(..8) > 0 {
        headers.insert("authorization", HeaderValue::try_from(format!("Bearer {}", fixture.token)).expect("ASCII"));
    }
    if rng.bool() {
        let long = vec![b'i'; 4_097];
        let id = if rng.u8(..8) == 0 { &long[..] } else { IDS[rng.usize(..IDS.len())] };
        headers.insert("last-event-id", HeaderValue::from_bytes(id).expect("none has a control character"));
    }
    (target, headers)
}

/// Returns the longest time that a client may wait for its head, or `None` if the test does not wait that long. A finite
/// read waits for its whole response.
fn patience(file: &Table, fixture: &SharedFixture, answers: &[Odd], target: &str) -> Option<Duration> {
    let routes = 0..file["routes"].as_array().map_or(0, Vec::len);
    // A requested history is awaited until it reaches the log.
    let reads_through =
        |route| find(file, &format!("routes.{route}.replay.read_through")).is_some_and(|on| on.as_bool() == Some(true));
    // Its engine is away, so its streams wait for it.
    let is_shared = |route| text(file, &format!("routes.{route}.replay.store")) == Some("cluster");
    if !answers.iter().any(Odd::keeps_waiting) && !routes.clone().any(reads_through) && !routes.clone().any(is_shared) {
        return Some(Duration::ZERO);
    }
    let open_timeout = setting(file, fixture, "upstreams.origin.open_timeout");
    let longest = routes.map(|route| {
        if find(file, &format!("routes.{route}.forward")).is_some() {
            // The upstream may answer as late as it likes, but for this.
            return setting(file, fixture, &format!("routes.{route}.forward.response_timeout"));
        }
        let of = |key: &str| format!("routes.{route}.delivery.{key}");
        let answer_within = setting(file, fixture, &of("answer_within"));
        let is_finite = target.contains("follow=false");
        let is_held = !is_finite && text(file, &of("when_down")).is_none_or(|text| text == "hold");
        if is_held && !answer_within.is_zero() { answer_within.min(open_timeout) } else { open_timeout }
    });
    longest.max().filter(|longest| *longest <= PATIENCE)
}

/// Whether the configuration allows the gateway to close a connection before it has answered.
fn is_strict(file: &Table, fixture: &SharedFixture) -> bool {
    let few = |key: &str| number(file, &format!("limits.{key}")).is_some_and(|number| number < 8);
    let short = |key: &str| setting(file, fixture, &format!("limits.{key}")) < Duration::from_secs(2);
    ["connections", "connections_per_ip", "handshakes_per_second", "accepts_per_second"].into_iter().any(few)
        || ["handshake_timeout", "header_timeout", "idle_timeout"].into_iter().any(short)
}

/// Returns a duration of the file or its default; zero if the schema has no such key.
fn setting(file: &Table, fixture: &SharedFixture, path: &str) -> Duration {
    let default = || {
        let mut schema = &fixture.schema;
        for name in path.split('.') {
            let inner = [&schema["properties"][name], &schema["items"], &schema["additionalProperties"]];
            schema = inner.into_iter().find(|inner| inner.is_object())?;
        }
        schema["default"].as_str()
    };
    text(file, path).or_else(default).map_or(Duration::ZERO, |text| parse_duration(text).expect("drawn as a duration"))
}

fn text<'a>(file: &'a Table, path: &str) -> Option<&'a str> {
    find(file, path)?.as_str()
}

fn number(file: &Table, path: &str) -> Option<i64> {
    find(file, path)?.as_integer()
}

fn find<'a>(file: &'a Table, path: &str) -> Option<&'a Value> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let mut value = file.get(first)?;
    for name in rest.split('.').filter(|name| !name.is_empty()) {
        value = match value.as_array() {
            Some(items) => items.get(name.parse::<usize>().ok()?)?,
            None => value.get(name)?,
        };
    }
    Some(value)
}
