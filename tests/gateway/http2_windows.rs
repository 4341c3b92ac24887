//! HTTP/2 clients that open their windows late, a little or never (RFC 9113, 5.2).
//!
//! Data that waits for such a client is bounded, cut off in time, and delivered whole to a client that reads it.

use std::time::Duration;

use crate::support::attack_fixture::AttackFixture;
use crate::support::client::Client;
use crate::support::figures::{assert_grown_by_less_than, metric, resident, wait_metric};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, RST_STREAM, WINDOW_UPDATE,
    field, frame, request, settings, subscription,
};
use crate::support::origin::{Emission, Origin};
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

/// The error code (RFC 9113, 7).
const CANCEL: [u8; 4] = [0, 0, 0, 8];

#[tokio::test]
async fn streams_without_a_window_are_bounded_and_cut_off() {
    let mut fixture = AttackFixture::new("stall_timeout = \"1s\"").await;
    let before = resident(&fixture.gateway);
    let mut frames = Frames::connect(&Client::http2(fixture.gateway.address()), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    for number in 0..200 {
        frames.send(&request(2 * number + 1, "/prices")).await;
    }
    fixture.origin.wait_open(2).await;

    for number in 0..50 {
        fixture.origin.emit(Emission::event(&number.to_string(), "big", &"d".repeat(64 * 1024)));
    }

    fixture.assert_bystander_unharmed().await;

    // The windows never open, and the connection stays alive.
    let counted = wait_metric(&fixture.gateway, "subscriptions_ended_total", &["reason=\"stalled\""], 200.0);
    let pinging = async {
        while frames.answers_ping().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = counted => {}
        () = pinging => panic!("the connection was closed, not its streams"),
    }
    assert_grown_by_less_than(&fixture.gateway, before, 48);
    assert_eq!(metric(&fixture.gateway, "subscribers", &["h2"]).await, 0.0);
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn requests_wait_while_too_many_responses_of_their_connection_are_unread() {
    let mut fixture = AttackFixture::new("stall_timeout = \"60s\"").await;
    let mut frames = Frames::connect(&Client::http2(fixture.gateway.address()), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    for number in 0..200 {
        frames.send(&request(2 * number + 1, "/prices")).await;
    }
    wait_metric(&fixture.gateway, "subscribers", &["h2"], 128.0).await;
    assert!(frames.answers_ping().await);
    assert_eq!(metric(&fixture.gateway, "subscribers", &["h2"]).await, 128.0);

    frames.send(&settings(&[(INITIAL_WINDOW_SIZE, 65_535)])).await;

    wait_metric(&fixture.gateway, "subscribers", &["h2"], 200.0).await;
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn an_unread_refusal_is_reset_after_the_stall_timeout() {
    let mut fixture = AttackFixture::new("stall_timeout = \"500ms\"").await;
    for window in [0, 10] {
        let mut frames =
            Frames::connect(&Client::http2(fixture.gateway.address()), &[(INITIAL_WINDOW_SIZE, window)]).await;
        frames.send(&request(1, "/nothing/here")).await;

        let refused = frames.find(|frame| frame.kind == HEADERS && frame.stream == 1).await;
        let reset = frames.find(|frame| frame.kind == RST_STREAM && frame.stream == 1).await;

        assert!(refused.is_some() && reset.is_some());
        assert!(frames.answers_ping().await, "the connection was closed");
    }
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn a_body_read_in_one_byte_windows_arrives_whole() {
    let mut fixture = AttackFixture::new("stall_timeout = \"5s\"").await;
    let mut frames = Frames::connect(&Client::http2(fixture.gateway.address()), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    frames.send(&request(1, "/nothing/here")).await;
    frames.find(|frame| frame.kind == HEADERS && frame.stream == 1).await.expect("a head");

    let mut content = Vec::new();
    loop {
        frames.send(&frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())).await;
        let bite = frames.find(|frame| frame.kind == DATA && frame.stream == 1).await.expect("a bite");
        assert_eq!(bite.payload.len(), 1);
        content.extend(bite.payload);
        if bite.flags & END_STREAM != 0 {
            break;
        }
    }

    let problem: serde_json::Value = serde_json::from_slice(&content).unwrap();
    assert_eq!(problem["status"], 404);
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn only_a_connection_whose_own_window_stays_closed_is_closed() {
    let mut fixture = AttackFixture::new("stall_timeout = \"500ms\"").await;
    let mut shut = Frames::connect(&Client::http2(fixture.gateway.address()), &[]).await;
    let mut open = Frames::connect(&Client::http2(fixture.gateway.address()), &[]).await;
    shut.send(&request(1, "/prices")).await;
    // The connection window stays open, and only the window of the stream closes.
    open.send(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())).await;
    open.send(&request(1, "/prices")).await;
    fixture.origin.wait_open(2).await;

    for number in 0..2 {
        fixture.origin.emit(Emission::event(&number.to_string(), "big", &"d".repeat(64 * 1024)));
    }
    fixture.assert_bystander_unharmed().await;

    assert!(open.find(|frame| frame.kind == RST_STREAM && frame.stream == 1).await.is_some());
    assert!(open.answers_ping().await, "the connection was closed, though only its stream was stalled");
    shut.end(DEADLINE).await;
    wait_metric(&fixture.gateway, "rejections_total", &["reason=\"connection_window\""], 1.0).await;
    fixture.assert_bystander_unharmed().await;
}

/// Makes requests on these streams and resets each after its response head. Returns false if the connection ends.
async fn request_and_reset(frames: &mut Frames, streams: impl Iterator<Item = u32>) -> bool {
    for stream in streams {
        frames.send(&request(stream, "/prices")).await;
        let mut head = None;
        // PINGs are not answered, so h2 never learns that its GOAWAY has been received.
        while head.is_none() {
            let Some(next) = frames.next().await else { return false };
            head = Some(next).filter(|next| next.kind == HEADERS && next.stream == stream);
        }
        frames.send(&frame(RST_STREAM, 0, stream, &CANCEL)).await;
    }
    true
}

#[tokio::test]
async fn a_client_over_its_resets_gets_goaway() {
    let mut fixture = AttackFixture::new("resets_per_connection = 10").await;
    let mut frames = Frames::connect(&Client::http2(fixture.gateway.address()), &[]).await;
    frames.send(&request(1, "/prices")).await;

    assert!(request_and_reset(&mut frames, (3..).step_by(2).take(11)).await);

    let goaway = frames.find(|frame| frame.kind == GOAWAY).await.expect("a GOAWAY");
    assert_eq!(goaway.payload[4..8], [0; 4], "no error");
    assert!(frames.answers_ping().await);
    wait_metric(&fixture.gateway, "rejections_total", &["reason=\"resets_per_connection\""], 1.0).await;
    fixture.origin.emit(Emission::event("1", "tick", "still here"));
    let event = |frame: &Frame| frame.kind == DATA && frame.payload.ends_with(b"data: still here\n\n");
    assert!(frames.find(event).await.is_some_and(|frame| frame.stream == 1), "the open stream was ended");
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn a_client_that_continues_to_reset_is_closed() {
    let mut fixture = AttackFixture::new("resets_per_connection = 10").await;
    let mut frames = Frames::connect(&Client::http2(fixture.gateway.address()), &[]).await;

    assert!(!request_and_reset(&mut frames, (1..).step_by(2).take(1000)).await);

    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn a_trusted_proxy_may_reset_any_number_of_requests() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url()).limits("resets_per_connection = 10");
    let gateway =
        setup.listener("client_address = \"x-forwarded-for\"\ntrusted_proxies = [\"127.0.0.0/8\"]").start().await;
    let mut frames = Frames::connect(&Client::http2(gateway.address()), &[]).await;

    assert!(request_and_reset(&mut frames, (1..).step_by(2).take(100)).await);

    assert_eq!(metric(&gateway, "rejections_total", &["reason=\"resets_per_connection\""]).await, 0.0);
}

#[tokio::test]
async fn what_a_reset_discards_is_not_charged_to_the_connection() {
    let fixture = AttackFixture::new("send_buffer = \"256KiB\"").await;
    let charged = async || metric(&fixture.gateway, "memory_bytes", &["kind=\"http2\""]).await;
    let before = charged().await;
    let client = Client::http2(fixture.gateway.address()).receive_buffer(4 * 1024);
    let mut frames = Frames::connect(&client, &[(INITIAL_WINDOW_SIZE, 1 << 30)]).await;
    frames.send(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())).await;
    frames.send(&request(1, "/prices")).await;
    frames.find(|frame| frame.kind == DATA).await.expect("the prelude");

    // The client reads nothing, so events wait in the kernel, and then in h2.
    let mut number = 0;
    while charged().await < before + 100_000.0 {
        fixture.origin.emit(Emission::event(&number.to_string(), "", &"d".repeat(64 * 1024)));
        number += 1;
        assert!(number < 1000, "the kernel takes all of it");
    }
    frames.send(&frame(RST_STREAM, 0, 1, &CANCEL)).await;
    assert!(frames.answers_ping().await, "the connection goes on");

    eventually(DEADLINE, || async { charged().await < before + 1000.0 }).await;
}

/// Reads the next DATA frame of stream 1.
async fn next_data(frames: &mut Frames) -> Vec<u8> {
    frames.find(|frame| frame.kind == DATA && frame.stream == 1).await.expect("an open stream").payload
}

#[tokio::test]
async fn a_reset_after_some_events_is_seen_before_the_next_one() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).delivery("heartbeat = \"10m\"").start().await;
    let mut frames = Frames::connect(&Client::http2(gateway.address()), &[]).await;
    frames.send(&request(1, "/prices")).await;
    origin.wait_open(1).await;
    for number in 0..5 {
        let event = format!("data: {number}\n\n");
        origin.emit(Emission::event(&number.to_string(), "", &number.to_string()));
        while !next_data(&mut frames).await.ends_with(event.as_bytes()) {}
    }
    wait_metric(&gateway, "subscribers", &["h2"], 1.0).await;

    frames.send(&frame(RST_STREAM, 0, 1, &CANCEL)).await;

    wait_metric(&gateway, "subscribers", &["h2"], 0.0).await;
}

#[tokio::test]
async fn a_reset_after_a_replay_in_several_pieces_is_seen_before_the_next_event() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).delivery("heartbeat = \"10m\"").start().await;
    let mut reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;
    // More than one piece, and less than a stream's window.
    for number in 0..30 {
        origin.emit(Emission::event(&number.to_string(), "", &"d".repeat(1000)));
    }
    for _ in 0..30 {
        assert_eq!(reader.next_event(DEADLINE).await.data.len(), 1000);
    }
    let mut frames = Frames::connect(&Client::http2(gateway.address()), &[]).await;
    let head = [subscription("/prices"), field("last-event-id", "0")].concat();
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await;
    let mut replayed = 0;
    while replayed < 29_000 {
        replayed += next_data(&mut frames).await.len();
    }
    wait_metric(&gateway, "subscribers", &["h2"], 1.0).await;

    frames.send(&frame(RST_STREAM, 0, 1, &CANCEL)).await;

    wait_metric(&gateway, "subscribers", &["h2"], 0.0).await;
}

#[tokio::test]
async fn a_window_smaller_than_an_event_that_is_opened_as_it_is_used_loses_nothing() {
    let fixture = AttackFixture::new("").await;
    let mut frames = Frames::connect(&Client::http2(fixture.gateway.address()), &[(INITIAL_WINDOW_SIZE, 100)]).await;
    frames.send(&request(1, "/prices")).await;
    fixture.origin.wait_open(2).await;
    let text = |number: usize| format!("{number} {}", "d".repeat(number * 7 % 200));
    for number in 0..200 {
        fixture.origin.emit(Emission::event(&number.to_string(), "", &text(number)));
    }

    let (mut content, mut seen) = (String::new(), 0);
    while seen < 200 {
        let data = next_data(&mut frames).await;
        for stream in [0, 1] {
            let increment = u32::try_from(data.len()).unwrap().to_be_bytes();
            frames.send(&frame(WINDOW_UPDATE, 0, stream, &increment)).await;
        }
        content.push_str(std::str::from_utf8(&data).unwrap());
        while let Some((event, rest)) = content.split_once("\n\n") {
            if event.contains("data: ") {
                assert!(event.ends_with(&format!("\ndata: {}", text(seen))), "{seen}: {event:?}");
                seen += 1;
            }
            content = rest.to_owned();
        }
    }
}

#[tokio::test]
async fn a_stream_whose_window_is_taken_back_waits_and_is_reset_after_the_stall_timeout() {
    let mut fixture = AttackFixture::new("stall_timeout = \"1s\"").await;
    let mut frames = Frames::connect(&Client::http2(fixture.gateway.address()), &[]).await;
    frames.send(&request(1, "/prices")).await;
    fixture.origin.wait_open(2).await;
    for number in 0..3 {
        fixture.origin.emit(Emission::event(&number.to_string(), "", "in the window"));
        while !next_data(&mut frames).await.ends_with(b"data: in the window\n\n") {}
    }

    frames.send(&settings(&[(INITIAL_WINDOW_SIZE, 0)])).await;
    assert!(frames.answers_ping().await);
    for number in 3..6 {
        fixture.origin.emit(Emission::event(&number.to_string(), "", "beyond the window"));
    }

    let next = frames.find(|frame| frame.stream == 1).await.expect("the connection goes on");
    assert_eq!(next.kind, RST_STREAM, "{next:?}");
    wait_metric(&fixture.gateway, "subscriptions_ended_total", &["reason=\"stalled\""], 1.0).await;
    fixture.assert_bystander_unharmed().await;
}
