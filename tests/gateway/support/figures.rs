//! The gateway's own figures: metrics, pages of its admin port, memory, log.
//!
//! Always true: a missing figure is 0, like a counter that was never incremented.

use std::time::Duration;

use super::client::Client;
use super::raw::{Raw, status};
use super::server::Rillgate;
use super::wait::{DEADLINE, eventually};

/// Returns the status and text of a page of the admin port.
pub async fn admin(gateway: &Rillgate, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let text = Raw::exchange(&Client::http1(gateway.admin()), request.as_bytes()).await;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status(&text), body.to_owned())
}

/// Returns the sum of a metric's samples with all of these labels (`route="all"`). The name has no prefix.
pub async fn metric(gateway: &Rillgate, name: &str, labels: &[&str]) -> f64 {
    let (_, text) = admin(gateway, "/metrics").await;
    let name = format!("rillgate_{name}");
    let samples = text.lines().filter(|line| {
        line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    samples.filter_map(|line| line.rsplit_once(' ')).filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

/// Waits until a metric is at least `value`.
pub async fn wait_metric(gateway: &Rillgate, name: &str, labels: &[&str], value: f64) {
    eventually(DEADLINE, || async { metric(gateway, name, labels).await >= value }).await;
}

/// Returns the resident memory in bytes.
pub fn resident(gateway: &Rillgate) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process that lives has memory");
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024
}

/// Returns the CPU time that the process has taken, to a hundredth of a second.
pub fn cpu_time(gateway: &Rillgate) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", gateway.id())).unwrap();
    // The name of the program may contain spaces. It ends with the last bracket.
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
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

/// Fails if resident memory has grown by this much since `before`.
#[track_caller]
pub fn assert_grown_by_less_than(gateway: &Rillgate, before: u64, mebibytes: u64) {
    let now = resident(gateway);
    let grown = now.saturating_sub(before) / (1024 * 1024);
    assert!(grown < mebibytes, "resident memory grew by {grown} MiB, from {before} to {now} bytes");
}
