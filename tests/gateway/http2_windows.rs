//! HTTP/2 clients that open their windows late, a little or never (RFC 9113, 5.2): what is for them waits within bounds,
//! is cut in time, and comes whole to whoever takes it.

use std::time::Duration;

use crate::support::client::Client;
use crate::support::figures::{assert_grown_by_less_than, metric, resident, wait_metric};
use crate::support::frames::{
    DATA, END_STREAM, Frames, HEADERS, INITIAL_WINDOW_SIZE, RST_STREAM, WINDOW_UPDATE, frame, request,
};
use crate::support::origin::Emission;
use crate::support::scene::Scene;

#[tokio::test]
async fn streams_without_a_window_are_bounded_and_cut() {
    let mut scene = Scene::new("stall_timeout = \"1s\"").await;
    let before = resident(&scene.gateway);
    let mut frames = Frames::connect(&Client::http2(scene.gateway.address()), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    for number in 0..200 {
        frames.send(&request(2 * number + 1, "/prices")).await;
    }
    scene.origin.wait_open(2).await;

    for number in 0..50 {
        scene.origin.emit(Emission::event(&number.to_string(), "big", &"d".repeat(64 * 1024)));
    }

    scene.assert_bystander_unharmed().await;

    // The window opens never, and the connection is alive all the while.
    let counted = wait_metric(&scene.gateway, "subscriptions_ended_total", &["reason=\"stalled\""], 200.0);
    let pinging = async {
        while frames.answers_ping().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = counted => {}
        () = pinging => panic!("the connection was closed, not its streams"),
    }
    assert_grown_by_less_than(&scene.gateway, before, 48);
    assert_eq!(metric(&scene.gateway, "subscribers", &["h2"]).await, 0.0);
    scene.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn a_refusal_that_is_not_taken_is_reset_in_time() {
    let mut scene = Scene::new("stall_timeout = \"500ms\"").await;
    for window in [0, 10] {
        let mut frames =
            Frames::connect(&Client::http2(scene.gateway.address()), &[(INITIAL_WINDOW_SIZE, window)]).await;
        frames.send(&request(1, "/nothing/here")).await;

        let refused = frames.find(|frame| frame.kind == HEADERS && frame.stream == 1).await;
        let reset = frames.find(|frame| frame.kind == RST_STREAM && frame.stream == 1).await;

        assert!(refused.is_some() && reset.is_some());
        assert!(frames.answers_ping().await, "the connection lives on");
    }
    scene.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn what_is_taken_in_the_smallest_bites_comes_whole() {
    let mut scene = Scene::new("stall_timeout = \"5s\"").await;
    let mut frames = Frames::connect(&Client::http2(scene.gateway.address()), &[(INITIAL_WINDOW_SIZE, 0)]).await;
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
    scene.assert_bystander_unharmed().await;
}
