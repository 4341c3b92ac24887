//! The log beside its reader: a reader that stalls delays nobody, and refusals cannot flood it.

use crate::support::client::Client;
use crate::support::figures::{admin, lines_with, metric, wait_metric};
use crate::support::origin::Origin;
use crate::support::raw::{Raw, responses};
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

/// Sends this request so many times on one connection, and reads all responses.
async fn pipeline(client: &Client, request: &str, times: usize) {
    let requests = format!("{request}\r\n").repeat(times - 1) + request + "connection: close\r\n\r\n";
    assert_eq!(responses(&Raw::exchange(client, requests.as_bytes()).await), times);
}

#[tokio::test]
async fn a_stalled_reader_of_the_log_delays_no_client_and_is_told_what_it_missed() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).server("workers = 1").start().await;
    let client = Client::http1(gateway.address());
    let mut reader = client.subscribe("/prices", &[]).await;
    let preflight = format!(
        "OPTIONS /prices HTTP/1.1\r\nhost: a\r\norigin: http://a\r\naccess-control-request-method: GET\r\nuser-agent: {}\r\n",
        "a".repeat(128)
    );

    let paused = gateway.pause_log();
    for _ in 0..60 {
        pipeline(&client, &preflight, 100).await;
    }
    wait_metric(&gateway, "log_lines_dropped_total", &[], 1.0).await;
    origin.emit("data: beside\n\n");
    assert_eq!(reader.next_event(DEADLINE).await.data, "beside");
    assert_eq!(admin(&gateway, "/livez").await.0, 200);
    drop(paused);

    gateway.wait_line("log lines dropped: standard error was not read in time", DEADLINE).await;
    Raw::exchange(&client, b"GET /nothing/afterwards HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    gateway.wait_line("/afterwards", DEADLINE).await;
}

#[tokio::test]
async fn refusals_have_so_many_lines_in_a_second_and_the_rest_is_told() {
    const REQUESTS: usize = 1000;
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).start().await;

    pipeline(&Client::http1(gateway.address()), "GET /nothing/here HTTP/1.1\r\nhost: a\r\n", REQUESTS).await;

    let refused = &["status=404", "answered"];
    let suppressed = || {
        let log = gateway.log();
        let told = log.iter().filter(|line| line.contains("further lines suppressed"));
        let counts = told.filter_map(|line| line.split("lines=").nth(1)?.split(' ').next()?.parse::<usize>().ok());
        counts.sum::<usize>()
    };
    eventually(DEADLINE, || async { lines_with(&gateway, refused) + suppressed() == REQUESTS }).await;
    assert!(suppressed() > 0, "{} lines", lines_with(&gateway, refused));
    assert_eq!(metric(&gateway, "requests_total", &["status=\"404\""]).await, REQUESTS as f64);
}
