//! The figures of all gateways of a test, added up.
//!
//! Always true: a missing figure is 0, like a counter that was never incremented.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::Client;
use super::raw::{Raw, status};
use super::server::Rillgate;
use super::wait::{DEADLINE, eventually};

/// A metric that is a fact of each gateway: its least value counts.
const OF_EACH: &str = "config_reloads_total";

/// A metric that is the same on all gateways that have the stream: its largest value counts.
const OF_ANY: &str = "event_log_events";

/// Returns the status and text of a page of an admin port.
pub async fn page(admin: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let text = Raw::exchange(&Client::http1(admin), request.as_bytes()).await;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status(&text), body.to_owned())
}

/// Returns the status and text of a page of the first gateway.
pub async fn admin(gateway: &Rillgate, path: &str) -> (u16, String) {
    page(gateway.admin(), path).await
}

/// Returns the sum of a metric's samples with all of these labels (`route="all"`). The name has no prefix.
pub async fn metric(gateway: &Rillgate, name: &str, labels: &[&str]) -> f64 {
    let mut values: Vec<f64> = Vec::new();
    for gateway in gateway.gateways() {
        let (_, text) = page(gateway.admin(), "/metrics").await;
        let name = format!("rillgate_{name}");
        let samples = text.lines().filter(|line| {
            line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        let samples =
            samples.filter_map(|line| line.rsplit_once(' ')).filter_map(|(_, value)| value.parse::<f64>().ok());
        values.push(samples.sum());
    }
    match name {
        OF_EACH => values.into_iter().fold(f64::INFINITY, f64::min),
        OF_ANY => values.into_iter().fold(0.0, f64::max),
        _ => values.into_iter().sum(),
    }
}

/// Waits until a metric is at least `value`.
pub async fn wait_metric(gateway: &Rillgate, name: &str, labels: &[&str], value: f64) {
    eventually(DEADLINE, || async { metric(gateway, name, labels).await >= value }).await;
}

/// Returns the resident memory in bytes.
pub fn resident(gateway: &Rillgate) -> u64 {
    let of_one = |id: u32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process that lives has memory");
        let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes * 1024
    };
    gateway.gateways().iter().map(|gateway| of_one(gateway.id())).sum()
}

/// Counts the log lines that contain all of these texts.
pub fn lines_with(gateway: &Rillgate, texts: &[&str]) -> usize {
    gateway.log().iter().filter(|line| texts.iter().all(|text| line.contains(text))).count()
}

/// Waits until exactly this many log lines contain all of these texts. A gateway writes its lines a moment after the fact.
pub async fn wait_lines(gateway: &Rillgate, texts: &[&str], count: usize) {
    eventually(DEADLINE, || async { lines_with(gateway, texts) == count }).await;
}

/// Waits for this time, for events that must *not* happen, so that there is no fact to wait for.
pub async fn watch_for(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Fails if resident memory has grown by this much for each gateway since `before`.
#[track_caller]
pub fn assert_grown_by_less_than(gateway: &Rillgate, before: u64, mebibytes: u64) {
    let now = resident(gateway);
    let grown = now.saturating_sub(before) / (1024 * 1024) / gateway.gateways().len() as u64;
    assert!(grown < mebibytes, "resident memory grew by {grown} MiB each, from {before} to {now} bytes together");
}
