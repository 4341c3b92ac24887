//! The official clients of language models, and fetch-event-source with a `POST`, unchanged: through the gateway they do
//! what they do on a direct connection.
//!
//! Always true: each client runs its whole script (`tests/clients/official`) twice, each time with a model of its own. What
//! its library yields, how it fails, and what the model is asked are equal. Two differences are meant: an event tells of a
//! break ([`BROKEN`]), and the model goes on when a client is gone ([`goes_on_without_its_client`]).

use std::path::Path;
use std::process::Command;

use http::Method;
use serde_json::{Value, json};

use crate::fixture::send;
use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::locked::Locked;
use crate::support::process::Process;
use crate::support::producer::{self, Producer};
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

const PROTOCOLS: [(&str, &str); 3] =
    [("chat", "/v1/chat/completions"), ("responses", "/v1/responses"), ("messages", "/v1/messages")];

/// A part of the event by which the gateway tells that the model broke off. Libraries yield it or ignore it.
const BROKEN: &str = "upstream_broken";

/// The routes of [`PROTOCOLS`]. A response that cannot go on is cut, since the official clients take a clean end for the
/// end of the answer.
fn config(authority: &Authority, model: &Producer, post: &str, delivery: &str) -> String {
    let identity = authority.server();
    let mut config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificates = [{{ chain = \"{}\", key = \"{}\" }}] }}\n\
         [upstreams.model]\nurls = [\"{}\"]\n",
        identity.chain.display(),
        identity.key.display(),
        model.url(),
    );
    for (name, path) in PROTOCOLS {
        config += &format!(
            "[[routes]]\nname = \"{name}\"\npath = \"{path}\"\nupstream = \"model\"\nauth = \"public\"\n\
             [routes.post]\n{post}\nforward_headers = [\"authorization\", \"x-api-key\", \"anthropic-version\"]\n\
             [routes.delivery]\nend = \"cut\"\n{delivery}\n"
        );
    }
    config
}

/// Runs a client's script against this URL, and returns the outcomes of its scenarios.
async fn outcomes(mut command: Command, url: &str, authority: &Path, scenarios: usize) -> Vec<Value> {
    // The variables of OpenSSL, which Python uses, and of node.
    for variable in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
        command.env(variable, authority);
    }
    let process = Process::start(command.arg(url).env("no_proxy", "*"));
    eventually(6 * DEADLINE, || async { process.log().len() >= scenarios || process.exit_status().is_some() }).await;
    assert!(process.wait_exit(DEADLINE).await.success(), "{command:?}");
    let outcome = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    process.log().iter().map(outcome).collect()
}

/// Returns the requests that a model got.
async fn asked(model: &Producer) -> Vec<Value> {
    let text = send(&Client::http1(model.address()), Method::GET, "/asked", &[], "").await.whole().await;
    serde_json::from_str(&text).unwrap()
}

/// Runs the client directly and through a gateway whose routes give each request an answer of its own, and compares.
async fn does_the_same(client: fn() -> Command, scenarios: usize) {
    does_the_same_through(client, scenarios, "key = \"each\"", "").await;
}

/// Runs the client directly and through a gateway whose routes have these lines, and compares. Returns the gateway.
async fn does_the_same_through(client: fn() -> Command, scenarios: usize, post: &str, delivery: &str) -> Rillgate {
    let authority = Authority::new();
    let (direct, behind) = tokio::join!(Producer::start(producer::model), Producer::start(producer::model));
    let gateway = Rillgate::start(&config(&authority, &behind, post, delivery)).await;
    let through = format!("https://localhost:{}", gateway.address().port());

    let (url, file) = (direct.url(), authority.file());
    let (expected, found) =
        tokio::join!(outcomes(client(), &url, &file, scenarios), outcomes(client(), &through, &file, scenarios));

    assert_eq!((expected.len(), found.len()), (scenarios, scenarios));
    for (expected, found) in expected.iter().zip(found) {
        assert_is_as_scripted(expected);
        assert_same(expected, &without_what_breaks_add(found));
    }
    assert_asked_the_same(&asked(&direct).await, &asked(&behind).await);
    eventually(DEADLINE, || async { asked(&behind).await.iter().all(goes_on_without_its_client) }).await;
    gateway
}

/// Fails unless the outcome of a direct connection is what the scenario is about.
fn assert_is_as_scripted(outcome: &Value) {
    let name = outcome["scenario"].as_str().unwrap();
    let behaviour = name.split([' ', ',']).nth(1).unwrap();
    let text = outcome.to_string();
    let is_as_scripted = match behaviour {
        "text" | "json" | "busy-once" => text.contains("many readers. ") && text.contains("The end."),
        "tool" => outcome["tool"] == json!({ "name": "weather", "arguments": { "city": "Zürich" } }),
        "bad" | "denied" | "busy" | "failing" => text.contains(&format!("The request is {behaviour}")),
        "error" => text.contains("The server had an error") || text.contains("Overloaded"),
        "broken" | "stalled" => text.contains("piece 1 ") && text.contains("\"error\"") && !text.contains("piece 2 "),
        "silent" => text.contains("\"error\"") || text.contains("abort"),
        "endless" => text.contains("piece 1 ") && (name.contains("to its end") == text.contains("piece 99 ")),
        other => panic!("an unknown behaviour: {other}"),
    };
    assert!(is_as_scripted, "{text}");
}

/// Fails at the first thing that differs. A client that aborts has had as much as came until then.
fn assert_same(expected: &Value, found: &Value) {
    let name = expected["scenario"].as_str().unwrap();
    let seen = |outcome: &Value| outcome["seen"].as_array().unwrap().clone();
    for (expected, found) in seen(expected).iter().zip(&seen(found)) {
        assert_eq!(expected, found, "{name}");
    }
    let is_aborted = name.contains("endless") && !name.contains("to its end");
    let [mut expected, mut found] = [expected.clone(), found.clone()];
    if is_aborted {
        for outcome in [&mut expected, &mut found] {
            outcome["seen"] = Value::Null;
        }
    }
    assert_eq!(expected, found, "{name}");
}

/// Returns the outcome without the event that tells of a break.
fn without_what_breaks_add(mut outcome: Value) -> Value {
    let seen = outcome["seen"].as_array_mut().unwrap();
    seen.retain(|seen| !seen.to_string().contains(BROKEN));
    outcome
}

/// Fails unless a model was asked the same in both ways.
fn assert_asked_the_same(direct: &[Value], behind: &[Value]) {
    let question = |asked: &Value| {
        let Value::Object(mut asked) = asked.clone() else { panic!("{asked}") };
        asked.remove("ended");
        Value::Object(asked)
    };
    let [direct, behind] = [direct, behind].map(|asked| asked.iter().map(question).collect::<Vec<_>>());
    for (direct, behind) in direct.iter().zip(&behind) {
        assert_eq!(direct, behind);
    }
    assert_eq!(direct.len(), behind.len());
}

/// Whether an answer was read to its end, as the gateway does without its client. Two behaviours have no end.
fn goes_on_without_its_client(asked: &Value) -> bool {
    match asked["body"]["model"].as_str().unwrap() {
        "silent" | "stalled" => asked["ended"] == "no",
        "broken" => asked["ended"] == "closed",
        _ => asked["ended"] == "whole",
    }
}

fn python(script: &str) -> Command {
    let mut command = producer::python();
    command.current_dir(producer::tests("clients/official")).arg(script);
    command
}

fn node(script: &str) -> Command {
    let mut command = producer::node("clients/official");
    command.arg(script);
    command
}

#[tokio::test]
async fn openai_for_python_does_the_same() {
    does_the_same(|| python("openai_client.py"), 30).await;
}

#[tokio::test]
async fn anthropic_for_python_does_the_same() {
    does_the_same(|| python("anthropic_client.py"), 16).await;
}

#[tokio::test]
async fn openai_for_node_does_the_same() {
    does_the_same(|| node("openai.mjs"), 28).await;
}

#[tokio::test]
async fn anthropic_for_node_does_the_same() {
    does_the_same(|| node("anthropic.mjs"), 16).await;
}

#[tokio::test]
async fn the_ai_sdk_does_the_same() {
    does_the_same(|| node("ai.mjs"), 24).await;
}

#[tokio::test]
async fn fetch_event_source_does_the_same() {
    does_the_same(|| node("fetch_event_source.mjs"), 8).await;
}

#[tokio::test]
async fn fetch_event_source_resumes_by_the_same_post_and_misses_nothing() {
    let (post, delivery) = ("key = \"body\"\nacross_subjects = true", "max_age = \"1s\"\nretry = \"50ms\"");

    let gateway = does_the_same_through(|| node("fetch_event_source.mjs"), 8, post, delivery).await;

    assert!(gateway.log().iter().any(|line| line.contains("reason=\"max_age\"")), "no response was cut");
}

#[test]
fn the_document_names_the_versions() {
    const NPM: &str = "tests/clients/package-lock.json";
    const PYTHON: &str = "tests/clients/requirements.txt";
    let document = include_str!("../../docs/language-models.md");
    for (row, file, name) in [
        ("| openai, Python | ", PYTHON, "openai"),
        ("| anthropic, Python | ", PYTHON, "anthropic"),
        ("| openai, Node.js | ", NPM, "openai"),
        ("| @anthropic-ai/sdk, Node.js | ", NPM, "@anthropic-ai/sdk"),
        ("| ai, Node.js | ", NPM, "ai"),
        ("@ai-sdk/openai ", NPM, "@ai-sdk/openai"),
        ("| @microsoft/fetch-event-source | ", NPM, "@microsoft/fetch-event-source"),
    ] {
        let version = Locked { file, name }.version();
        assert!(document.contains(&format!("{row}{version} |")), "{row}{version}");
    }
}
