//! The queries of the dashboard and the rules of `deploy/`, run against a real Prometheus that has scraped a gateway.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;

use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::origin::{Emission, Origin};
use crate::support::prometheus::{Prometheus, deployed};
use crate::support::script::Answer;
use crate::support::server::Rillgate;
use crate::support::wait::DEADLINE;

/// A deadline for two evaluations of the rates over five minutes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn the_dashboard_is_complete_and_does_not_overlap() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: BTreeSet<_> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(variables, BTreeSet::from(["datasource", "job", "instance", "route"]));
    for member in ["uid", "title", "schemaVersion", "time", "refresh", "annotations"] {
        assert!(!dashboard[member].is_null(), "{member}");
    }

    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap_or_default();
        assert!(!title.is_empty() && ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title} is wider than the grid");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(cells.insert((x, y)), "{title} covers another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(!panel["description"].as_str().unwrap_or_default().is_empty(), "{title} does not say what it shows");
        let targets = panel["targets"].as_array().unwrap();
        let names: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
        assert_eq!(names.len(), targets.len(), "{title}");
        for source in targets.iter().chain([panel]) {
            assert_eq!(source["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    let rows: Vec<_> = panels(&dashboard).filter(|panel| panel["type"] == "row").map(|row| &row["title"]).collect();
    assert_eq!(rows, ["Is it healthy?", "Is it fast?", "Who is slow?", "What was refused?", "Is the cluster well?"]);
}

#[test]
fn rules_and_dashboard_name_only_existing_metrics() {
    let documented = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let recorded = std::fs::read_to_string(deployed().join("recording.yml")).unwrap();
    let sources = sources(&root().join("src"));
    let mut seen = 0;
    for (place, expression) in expressions() {
        let is_part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | ':');
        for name in expression.split(|character| !is_part(character)) {
            let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            if name.contains(":rillgate_") {
                assert!(recorded.contains(&format!("- record: {name}\n")), "{place}: {name} is not recorded");
            } else if name.starts_with("rillgate_") || name.starts_with("process_") {
                seen += 1;
                assert!(documented.contains(&format!("`{base}`")), "{place}: {base} is not in docs/metrics.md");
            }
        }
        // A label value in a selector must occur in the sources.
        for (label, value) in selected(&expression).filter(|(label, _)| ["reason", "result", "state"].contains(label)) {
            for word in value.split('|').filter(|word| !word.is_empty()) {
                assert!(
                    sources.contains(&format!("\"{word}\"")),
                    "{place}: {label}={word} does not occur in the sources"
                );
            }
        }
    }
    assert!(seen > 50, "only {seen} names of metrics");
}

#[tokio::test]
async fn every_query_of_the_dashboard_and_the_rules_is_answered_by_prometheus() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let keys = Origin::start().await;
    let gateway = gateway(&authority, &origin, &keys).await;
    let prometheus = Prometheus::scraping(gateway.admin()).await;
    let client = Client::http2(gateway.address()).tls(&authority);
    let mut open = client.subscribe("/open/prices", &[]).await;
    gateway.signal("HUP");
    gateway.wait_line("configuration reloaded", DEADLINE).await;

    let mut missing = queries_without_data(&prometheus).await;
    let mut number = 0;
    let end = tokio::time::Instant::now() + LONG;
    // Rates need change, so each round adds to every metric.
    while !missing.is_empty() {
        assert!(tokio::time::Instant::now() < end, "no data for\n{}", missing.join("\n"));
        number += 1;
        origin.emit(Emission::event(&number.to_string(), "price", "x"));
        open.next_event(DEADLINE).await;
        assert_eq!(client.subscribe("/closed/prices", &[]).await.status, 401);
        assert_eq!(client.subscribe("/none", &[]).await.status, 404);
        let gap = client.subscribe("/open/prices?follow=false", &[("last-event-id", "never")]).await;
        assert!(gap.header("rillgate-resume").starts_with("gap"), "{:?}", gap.headers);
        missing = queries_without_data(&prometheus).await;
    }
    // The only problem in this run was clients that returned too late.
    let firing = prometheus.query("ALERTS{alertstate=\"firing\"}").await.unwrap();
    assert!(firing.iter().all(|alert| alert.labels["alertname"] == "RillgateGaps"), "{firing:?}");
}

/// Starts a gateway with a public route and one that needs a token of an issuer whose keys `keys` serves.
async fn gateway(authority: &Authority, origin: &Origin, keys: &Origin) -> Rillgate {
    let identity = authority.server();
    let set = key_set();
    keys.answer(move |_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
        Answer::raw(format!("{head} {}\r\n\r\n{set}", set.len()))
    });
    Rillgate::start(&format!(
        r#"
        [admin]
        address = "127.0.0.1:0"
        [[listeners]]
        name = "public"
        address = "127.0.0.1:0"
        tls = {{ certificates = [{{ chain = "{}", key = "{}" }}] }}
        [issuers.main]
        issuer = "https://id.example/"
        audience = ["rillgate"]
        keys = [{{ jwks_url = "{}/jwks.json", refresh = "1s" }}]
        [upstreams.origin]
        urls = ["{}"]
        [[routes]]
        name = "open"
        path = "/open/{{name}}"
        upstream = "origin"
        auth = "public"
        [[routes]]
        name = "closed"
        path = "/closed/{{name}}"
        upstream = "origin"
        auth = {{ issuers = ["main"] }}
        "#,
        identity.chain.display(),
        identity.key.display(),
        keys.url(),
        origin.url(),
    ))
    .await
}

/// Returns a JWKS with one key.
fn key_set() -> String {
    let pair = rcgen::KeyPair::generate().unwrap();
    // An uncompressed point is the byte 4 and then both coordinates (SEC 1, 2.3.3).
    let point = pair.public_key_raw();
    let half = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = (half(&point[1..33]), half(&point[33..65]));
    serde_json::json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "1", "x": x, "y": y }] })
        .to_string()
}

/// Returns the expressions of the dashboard and the recording rules that have no data now.
async fn queries_without_data(prometheus: &Prometheus) -> Vec<String> {
    let mut missing = Vec::new();
    for (place, expression) in expressions() {
        let mut query = expression.clone();
        for (variable, value) in
            [("$__rate_interval", "15s"), ("$__range", "15s"), ("$job", ".*"), ("$instance", ".*"), ("$route", ".*")]
        {
            query = query.replace(variable, value);
        }
        assert!(!query.contains('$'), "{place}: an unknown variable in {query}");
        let found = prometheus.query(&query).await.unwrap_or_else(|error| panic!("{place}: {query}: {error}"));
        // Alerts that do not fire, annotations without a restart, and the cluster of a gateway alone have no data.
        let should_have = !place.starts_with("alert")
            && !place.starts_with("annotation")
            && !expression.contains("rillgate_cluster_");
        if should_have && !found.iter().any(|sample| sample.value.is_finite()) {
            missing.push(format!("{place}: {query}"));
        }
    }
    missing
}

/// Returns the location and text of each expression in the dashboard, the recording rules and the alerts.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let dashboard = dashboard();
    for panel in panels(&dashboard).filter(|panel| panel["type"] != "row") {
        for target in panel["targets"].as_array().unwrap() {
            found.push((format!("panel {}", panel["title"]), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        found.push((format!("annotation {}", annotation["name"]), annotation["expr"].as_str().unwrap().to_owned()));
    }
    for (file, kind) in [("recording.yml", "record"), ("alerts.yml", "alert")] {
        found.extend(rules(&std::fs::read_to_string(deployed().join(file)).unwrap(), kind));
    }
    assert!(found.len() > 50, "{found:?}");
    found
}

/// Returns the name and expression of each rule in a file. The expression after `expr:` is folded or on the same line.
fn rules(text: &str, kind: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for rule in text.split(&format!("- {kind}: ")).skip(1) {
        let name = rule.lines().next().unwrap_or_default();
        let (_, expression) = rule.split_once("expr:").unwrap_or_else(|| panic!("{name} has no expression"));
        let (first, rest) = expression.split_once('\n').unwrap();
        let folded = rest.lines().take_while(|line| line.starts_with("          ")).collect::<Vec<_>>().join(" ");
        let expression = if first.trim() == ">-" { folded } else { first.trim().to_owned() };
        found.push((format!("{kind} {name}"), expression));
    }
    found
}

/// Returns the labels and values in an expression's selectors.
fn selected(expression: &str) -> impl Iterator<Item = (&str, &str)> {
    expression.split(['{', ',']).filter_map(|part| {
        let (label, rest) = part.split_once(['=', '!'])?;
        Some((label.trim(), rest.split('"').nth(1)?))
    })
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter()
}

fn dashboard() -> Value {
    serde_json::from_slice(&std::fs::read(root().join("deploy/grafana/rillgate.json")).unwrap()).unwrap()
}

fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &std::fs::read_to_string(path).unwrap();
        }
    }
    text
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
