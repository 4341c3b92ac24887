//! The clients of `tests/clients`, as child processes that print the events that their libraries dispatch.
//!
//! Always true: each gets the same instructions (see `tests/clients/adapter.mjs`) and trusts one authority. The event
//! types to which it listens and the use of its token are its own.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::certificates::Authority;
use super::locked::Locked;
use super::process::Process;
use super::producer;
use super::wait::{DEADLINE, eventually};

/// A client library in the program that uses it.
pub struct Adapter {
    /// The name of the library in docs/compatibility.md.
    pub name: &'static str,
    /// The packages that the client uses; empty for one of the machine.
    pub packages: &'static [Locked],
    pub command: fn() -> Command,
    /// The protocol that the client negotiates over TLS, as a value of the metrics' label.
    pub protocol: &'static str,
    /// Whether only event types with a listener are dispatched.
    pub listens_by_type: bool,
    /// Whether every block is reported as an event, even one that only sets the id.
    pub shows_blocks_without_data: bool,
    /// Whether it asks for gzip or zstd and decodes them, as it is used here.
    pub accepts_compression: bool,
}

/// An event as the library dispatched it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatched {
    pub kind: String,
    pub data: String,
    pub id: String,
}

/// A running client; killed when dropped.
pub struct RunningClient {
    process: Process,
}

impl Adapter {
    /// Starts the client on this URL. It reads the token from the file at each connect.
    pub fn follow(&self, authority: &Authority, url: &str, bearer: Option<&Path>, types: &[&str]) -> RunningClient {
        let mut command = (self.command)();
        let bearer = bearer.map_or("-".into(), |path| path.display().to_string());
        command.args([url, &bearer]).args(types);
        // OpenSSL, Python, Rust's native certificates, curl and node each read one of these variables.
        for variable in ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] {
            command.env(variable, authority.file());
        }
        command.env("no_proxy", "*");
        RunningClient { process: Process::start(&mut command) }
    }
}

impl RunningClient {
    /// Returns all events with data that the library has dispatched.
    pub fn events(&self) -> Vec<Dispatched> {
        self.all_events().into_iter().filter(|event| !event.data.is_empty()).collect()
    }

    /// Returns all events without data that the library has dispatched.
    pub fn events_without_data(&self) -> usize {
        self.all_events().iter().filter(|event| event.data.is_empty()).count()
    }

    /// Waits until there are this many events with data, and returns them.
    pub async fn wait_events(&self, count: usize) -> Vec<Dispatched> {
        eventually(DEADLINE, || async {
            assert_eq!(self.process.exit_status(), None, "{}", self.process.log().join("\n"));
            self.events().len() >= count
        })
        .await;
        self.events()
    }

    /// Waits until the client has given up, and returns the status that it saw.
    pub async fn wait_closed(&self) -> Option<u64> {
        eventually(DEADLINE, || async { self.closed().is_some() }).await;
        self.process.wait_exit(DEADLINE).await;
        self.closed().expect("waited for")
    }

    /// Waits until the client has seen the end of this many responses.
    pub async fn wait_lost(&self, count: usize) {
        eventually(DEADLINE, || async { self.lost().len() >= count }).await;
    }

    /// Returns what the client said of each response that ended.
    pub fn lost(&self) -> Vec<String> {
        let text = |report: serde_json::Map<String, Value>| Some(report.get("lost")?.as_str()?.to_owned());
        self.reports().filter_map(text).collect()
    }

    fn closed(&self) -> Option<Option<u64>> {
        self.reports().find_map(|report| report.get("closed").map(Value::as_u64))
    }

    fn all_events(&self) -> Vec<Dispatched> {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let events = self.reports().filter(|report| report.contains_key("data"));
        let dispatched = events.map(|event| {
            let kind = Some(text(&event["type"])).filter(|kind| !kind.is_empty());
            Dispatched {
                kind: kind.unwrap_or_else(|| "message".into()),
                data: text(&event["data"]),
                id: text(&event["id"]),
            }
        });
        dispatched.collect()
    }

    fn reports(&self) -> impl Iterator<Item = serde_json::Map<String, Value>> {
        self.process.log().into_iter().filter_map(|line| serde_json::from_str(&line).ok())
    }
}

fn script(name: &str) -> Command {
    let mut command = producer::node("clients");
    command.arg(name);
    command
}

pub fn eventsource() -> Command {
    script("eventsource.mjs")
}

pub fn fetch_event_source() -> Command {
    script("fetch_event_source.mjs")
}

pub fn eventsource_parser() -> Command {
    script("eventsource_parser.mjs")
}

pub fn httpx() -> Command {
    let mut command = producer::python();
    command.current_dir(producer::tests("clients")).arg("httpx_client.py");
    command
}

pub fn httpx_over_http2() -> Command {
    let mut command = httpx();
    command.env("HTTP2", "1");
    command
}

pub fn reqwest() -> Command {
    Command::new(producer::program("reqwest-client"))
}

pub fn curl() -> Command {
    Command::new(producer::tests("clients").join("curl.sh"))
}
