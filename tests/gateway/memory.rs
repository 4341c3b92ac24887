//! `limits.memory`: event logs, the process, and clients that hold events that their logs have evicted.

use std::time::Duration;

use crate::support::client::Client;
use crate::support::figures::{admin, metric, resident, wait_metric, watch_for};
use crate::support::frames::{Frames, INITIAL_WINDOW_SIZE, WINDOW_UPDATE, frame, request};
use crate::support::origin::{Emission, Origin};
use crate::support::raw::Raw;
use crate::support::script::Answer;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn logs_stay_within_limits_memory_and_clients_are_admitted() {
    let history = format!("data: {}\n\n", "x".repeat(8_000)).repeat(500);
    let origin = Origin::start_with(move |_| Answer::stream().then(history.clone())).await;
    let setup = Setup::for_origin(&origin.url()).limits("memory = \"64MiB\"").delivery("linger = \"100ms\"");
    let gateway = setup.start().await;
    let client = Client::http1(gateway.address());

    // Clients read made-up paths, and the producer sends a history on each. All together they are some 200 MB. Clients that are refused meanwhile try again later.
    let mut readers = Vec::new();
    let mut peak = 0;
    for number in 0..50 {
        readers.push(client.subscribe(&format!("/made-up-{number}"), &[]).await);
        peak = peak.max(resident(&gateway));
    }
    let taken = metric(&gateway, "event_log_bytes", &[]).await;
    watch_for(Duration::from_millis(300)).await;
    peak = peak.max(resident(&gateway));

    assert!(taken <= 64.0 * 1024.0 * 1024.0, "{taken} bytes in logs");
    assert!(peak < 160 << 20, "{} MiB resident", peak >> 20);
    drop(readers);
    eventually(DEADLINE, || async { metric(&gateway, "event_log_bytes", &[]).await == 0.0 }).await;
    // The gateway needs time to measure its memory again.
    watch_for(Duration::from_millis(2500)).await;
    // Freed pages that the allocator keeps must not count as used.
    for _ in 0..5 {
        watch_for(Duration::from_millis(500)).await;
        assert_eq!(client.subscribe("/honest", &[]).await.status, 200, "{} MiB resident", resident(&gateway) >> 20);
    }
}

#[tokio::test]
async fn new_streams_are_refused_while_there_is_no_room_for_them_and_admitted_soon_after() {
    let origin = Origin::start().await;
    let limits = "memory = \"48MiB\"\nh2_streams = 5000\nstreams_per_ip = 5000\n\
                  stream_opens_per_second = { ip = 5000, route = 5000 }";
    let gateway = Setup::for_origin(&origin.url()).limits(limits).delivery("linger = \"100ms\"").start().await;
    let client = Client::http1(gateway.address());
    let mut reader = client.subscribe("/prices", &[]).await;
    assert_eq!(reader.status, 200);

    let mut crowd = Client::http2(gateway.address()).connect().await.unwrap();
    let mut held = Vec::new();
    let mut refused = loop {
        let subscription = crowd.subscribe(&format!("/made-up-{}", held.len()), &[]).await;
        if subscription.status != 200 {
            break subscription;
        }
        held.push(subscription);
        assert!(held.len() < 4000, "{} MiB resident", resident(&gateway) >> 20);
    };

    assert_eq!(refused.status, 503);
    assert!(!refused.header("retry-after").is_empty());
    assert!(refused.text().await.contains("\"reason\":\"memory\""));
    assert!(metric(&gateway, "rejections_total", &["reason=\"memory\""]).await >= 1.0);
    eventually(DEADLINE, || async {
        let (status, ready) = admin(&gateway, "/readyz").await;
        status == 200 && ready.contains("limits.memory: new ")
    })
    .await;
    origin.emit("data: still here\n\n");
    assert_eq!(reader.next_event(DEADLINE).await.data, "still here");
    drop((held, crowd));
    let since = std::time::Instant::now();
    eventually(DEADLINE, || async { client.subscribe("/honest", &[]).await.status == 200 }).await;
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}: 5 s and what a busy machine takes", since.elapsed());
}

/// A gateway whose log holds four events, and a client that takes bytes more slowly than its stream brings them.
struct SlowClientFixture {
    origin: Origin,
    gateway: Rillgate,
}

impl SlowClientFixture {
    async fn new() -> Self {
        let origin = Origin::start().await;
        let limits = "stall_timeout = \"1s\"\nsend_buffer = \"4KiB\"";
        let setup = Setup::for_origin(&origin.url()).limits(limits).replay("events = 4");
        Self { gateway: setup.start().await, origin }
    }

    /// Sends an event of 256 KiB each 50 ms.
    async fn emit_events(&self) {
        for number in 0.. {
            self.origin.emit(Emission::event(&number.to_string(), "", &"d".repeat(256 * 1024)));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn wait_lagged(&self) {
        wait_metric(&self.gateway, "subscriptions_ended_total", &["reason=\"lagged\""], 1.0).await;
    }
}

#[tokio::test]
async fn an_http1_client_that_takes_a_little_now_and_then_ends_once_its_events_are_evicted() {
    let fixture = SlowClientFixture::new().await;
    let client = Client::http1(fixture.gateway.address()).receive_buffer(4 * 1024);
    let mut slow = Raw::dial(&client).await;
    slow.send(b"GET /prices HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(slow.read_until(": live", DEADLINE).await);

    let taking = async {
        loop {
            // It never stalls.
            slow.read_some(2048).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = fixture.wait_lagged() => {}
        () = fixture.emit_events() => unreachable!("it sends without an end"),
        () = taking => unreachable!("it takes without an end"),
    }
}

#[tokio::test]
async fn an_http2_client_that_takes_a_little_now_and_then_ends_once_its_events_are_evicted() {
    let fixture = SlowClientFixture::new().await;
    let client = Client::http2(fixture.gateway.address());
    let mut slow = Frames::connect(&client, &[(INITIAL_WINDOW_SIZE, 64)]).await;
    slow.send(&request(1, "/prices")).await;
    fixture.origin.wait_open(1).await;

    let taking = async {
        loop {
            slow.send(&frame(WINDOW_UPDATE, 0, 1, &64_u32.to_be_bytes())).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = fixture.wait_lagged() => {}
        () = fixture.emit_events() => unreachable!("it sends without an end"),
        () = taking => unreachable!("it takes without an end"),
    }
}
