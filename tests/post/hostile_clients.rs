//! Hostile clients of the hardening tests at a route that `POST` opens and one that forwards. After each attack a reader of
//! another stream still gets its events.

use std::time::Duration;

use crate::hostile::{Attacked, FORWARDED, OPENED_BY_POST};
use crate::support::ambiguous::{AMBIGUOUS_LENGTHS, BAD_CHUNKS};
use crate::support::attack_fixture::VICTIM;
use crate::support::client::{Client, Protocol};
use crate::support::figures::{assert_grown_by_less_than, resident};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, RST_STREAM, WINDOW_UPDATE, field, frame,
};
use crate::support::origin::Origin;
use crate::support::raw::{Raw, responses, status};
use crate::support::script::Answer;
use crate::support::wait::{DEADLINE, eventually};

const PATHS: [&str; 2] = [OPENED_BY_POST, FORWARDED];

async fn attacked() -> (Origin, Attacked) {
    let origin = Origin::start_with(|_| Answer::status(200).header("content-type", "text/plain").then("answer")).await;
    let attacked = Attacked::start(&origin.url()).await;
    (origin, attacked)
}

fn http1(attacked: &Attacked) -> Client {
    attacked.client(Protocol::Http1)
}

/// Encodes the header block of a `POST`, with these fields besides.
fn post(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", path)];
    pseudo.iter().chain(more).flat_map(|(name, value)| field(name, value)).collect()
}

#[tokio::test]
async fn a_request_that_hides_another_is_refused_before_anything_is_sent_on() {
    let (origin, mut attacked) = attacked().await;
    for path in PATHS {
        for fields in AMBIGUOUS_LENGTHS {
            let request = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n\r\n0\r\n\r\n{VICTIM}");

            let text = Raw::exchange(&http1(&attacked), request.as_bytes()).await;

            assert!((400..500).contains(&status(&text)) && responses(&text) == 1, "{path} {fields:?}: {text:?}");
        }
        for chunk in BAD_CHUNKS {
            let request =
                format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{VICTIM}");

            let text = Raw::exchange(&http1(&attacked), request.as_bytes()).await;

            assert!(text.is_empty() || (400..500).contains(&status(&text)), "{path} {chunk:?}: {text:?}");
        }
    }

    let asked = origin.requests();
    assert!(asked.iter().all(|request| request.target.starts_with("/site/")), "{asked:?}");
    attacked.assert_reader_unharmed().await;
}

#[tokio::test]
async fn a_client_that_stops_or_leaves_in_the_middle_of_its_body_holds_nothing() {
    let (origin, mut attacked) = attacked().await;
    let before = resident(&attacked.gateway);
    for path in PATHS {
        for body in [
            "content-length: 100\r\n\r\nhalf",
            "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "transfer-encoding: chunked\r\n\r\n4",
        ] {
            let request = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{body}");
            let mut stopped = Raw::dial(&http1(&attacked)).await;
            stopped.send(request.as_bytes()).await;
            for _ in 0..50 {
                let mut left = Raw::dial(&http1(&attacked)).await;
                left.send(request.as_bytes()).await;
            }

            let text = stopped.read_to_end(DEADLINE).await;

            // A route that forwards passes on what the upstream answers before it has the body.
            let expected: &[u16] = if path == FORWARDED { &[200, 408] } else { &[408] };
            assert!(expected.contains(&status(&text)) && responses(&text) == 1, "{path} {body:?}: {text:?}");
        }
    }
    assert!(origin.requests().iter().all(|request| request.target != OPENED_BY_POST), "no part of a body is sent on");
    assert_grown_by_less_than(&attacked.gateway, before, 48);
    attacked.assert_reader_unharmed().await;
}

#[tokio::test]
async fn requests_that_are_reset_or_broken_over_http2_reach_no_upstream_whole() {
    let (origin, mut attacked) = attacked().await;
    let before = resident(&attacked.gateway);
    let client = attacked.client(Protocol::Http2);
    for path in PATHS {
        // Opened and reset at once, with and without a part of the body.
        let mut frames = Frames::connect(&client, &[]).await;
        for stream in (1..2000).step_by(2) {
            let head = frame(HEADERS, END_HEADERS, stream, &post(path, &[]));
            let reset = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
            if !frames.send(&[head, frame(DATA, 0, stream, b"half"), reset].concat()).await {
                break;
            }
        }
        drop(frames);
        // Another length than announced, and DATA that is none.
        for (fields, data) in [
            (&[("content-length", "5")][..], frame(DATA, END_STREAM, 1, b"four")),
            (&[("content-length", "3")], frame(DATA, END_STREAM, 1, b"four")),
            (&[("content-length", "4"), ("content-length", "5")], frame(DATA, END_STREAM, 1, b"four")),
            (&[], frame(DATA, END_STREAM | 8, 1, &[200, 1, 2])),
            (&[("transfer-encoding", "chunked")], frame(DATA, END_STREAM, 1, b"0\r\n\r\n")),
        ] {
            let mut frames = Frames::connect(&client, &[]).await;
            let head = frame(HEADERS, END_HEADERS, 1, &post(path, fields));
            frames.send(&[head, data].concat()).await;

            let answer = frames.find(|frame| frame.stream == 1 || frame.kind == GOAWAY).await;

            // Entry 8 of the static table is the status 200.
            let is_ok = answer.is_some_and(|frame| frame.kind == HEADERS && frame.payload[0] == 0x88);
            assert!(!is_ok, "{path} {fields:?}");
        }
        // More than the window has room for.
        let mut frames = Frames::connect(&client, &[]).await;
        frames.send(&frame(HEADERS, END_HEADERS, 1, &post(path, &[]))).await;
        for _ in 0..600 {
            if !frames.send(&frame(DATA, 0, 1, &[b'x'; 16_000])).await {
                break;
            }
        }
        drop(frames);
        attacked.assert_reader_unharmed().await;
    }

    assert_grown_by_less_than(&attacked.gateway, before, 64);
    assert!(origin.requests().iter().all(|request| request.target != OPENED_BY_POST), "{:?}", origin.requests());
}

#[tokio::test]
async fn floods_of_small_frames_beside_an_unfinished_body_take_bounded_memory() {
    let (_origin, mut attacked) = attacked().await;
    let before = resident(&attacked.gateway);
    let client = attacked.client(Protocol::Http2);
    for path in PATHS {
        for (what, piece) in [
            ("empty data", frame(DATA, 0, 1, b"")),
            ("padding", frame(DATA, 8, 1, &[&[250][..], &[0; 250]].concat())),
            ("single bytes", frame(DATA, 0, 1, b"x")),
            ("window updates", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
            ("pings", frame(PING, 0, 0, b"pingpong")),
            ("trailers", frame(HEADERS, 0, 1, &field("x-trailer", "v"))),
            ("continuation", frame(CONTINUATION, 0, 1, &field("x", "y"))),
        ] {
            let mut frames = Frames::connect(&client, &[]).await;
            frames.send(&frame(HEADERS, END_HEADERS, 1, &post(path, &[]))).await;
            let batch = piece.repeat(16 * 1024 / piece.len());
            for _ in 0..60 {
                if !frames.send(&batch).await {
                    break;
                }
            }
            assert_grown_by_less_than(&attacked.gateway, before, 64);
            assert!(attacked.gateway.exit_status().is_none(), "{what}");
        }
        attacked.assert_reader_unharmed().await;
    }
}

#[tokio::test]
async fn a_drip_of_single_bytes_does_not_extend_the_time_for_a_body() {
    let (_origin, mut attacked) = attacked().await;
    let mut raw = Raw::dial(&http1(&attacked)).await;
    raw.send(format!("POST {OPENED_BY_POST} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n").as_bytes())
        .await;
    let begun = std::time::Instant::now();

    while !raw.is_closed_within(Duration::from_millis(20)).await {
        raw.send(b"x").await;
        assert!(begun.elapsed() < DEADLINE, "still open");
    }

    assert_eq!(status(&raw.text()), 408);
    eventually(DEADLINE, || async { attacked.gateway.log().iter().any(|line| line.contains("body_timeout")) }).await;
    attacked.assert_reader_unharmed().await;
}
