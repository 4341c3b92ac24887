//! Hostile upstreams of the hardening tests behind a route that `POST` opens and one that forwards. After each attack a
//! reader of another stream still gets its events.

use http::StatusCode;
use http_body_util::BodyExt;

use crate::hostile::{Attacked, FORWARDED, KINDS, OPENED_BY_POST, begin};
use crate::support::figures::{assert_grown_by_less_than, resident, watch_for};
use crate::support::flood::Flood;
use crate::support::hostile::BAD_RESPONSE_HEADS;
use crate::support::origin::Origin;
use crate::support::script::{Answer, Cut};
use crate::support::wait::{DEADLINE, within};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
const SECRET: &str = "the body of a wrong answer";

#[tokio::test]
async fn a_hostile_response_head_is_a_bad_gateway() {
    let origin = Origin::start_with(|request| {
        let number = request.header("x-number").and_then(|number| number.parse::<usize>().ok());
        number.map_or_else(Answer::stream, |number| Answer::raw(BAD_RESPONSE_HEADS[number]))
    })
    .await;
    let mut attacked = Attacked::start(&origin.url()).await;

    for (number, head) in BAD_RESPONSE_HEADS.iter().enumerate() {
        for (kind, protocol) in KINDS {
            let number = number.to_string();
            let response = begin(&attacked.client(protocol), kind, &[("x-number", &number)], "").await.unwrap();

            let status = response.status().as_u16();
            assert!([502, 504].contains(&status), "{status} on {kind} {protocol:?} for {head:?}");
            assert_eq!(response.headers()["content-type"], "application/problem+json", "{kind} {head:?}");
        }
    }

    attacked.assert_reader_unharmed().await;
}

/// A body that is no body, and what its clients see of it.
struct BadBody {
    /// Head and body. Then the connection ends.
    bytes: String,
    how: Cut,
}

fn bad_bodies() -> Vec<BadBody> {
    let event = "data: one\n\n";
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    let mut bodies = Vec::new();
    for head in [STREAM, JSON] {
        for end in [
            "Z\r\n",
            "-1\r\n",
            "FFFFFFFFFFFFFFFFF\r\n",
            "5\r\nhelloworld\r\n0\r\n\r\n",
            "5\nhello\n0\n\n",
            "ff\r\nhello",
            "",
        ] {
            let bytes = format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}{end}");
            bodies.push(BadBody { bytes, how: Cut::Fin });
        }
        let bytes = format!("{head}content-length: 100\r\n\r\n{event}");
        bodies.push(BadBody { bytes: bytes.clone(), how: Cut::Fin });
        bodies.push(BadBody { bytes, how: Cut::Reset });
        let bytes = format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}");
        bodies.push(BadBody { bytes, how: Cut::Reset });
    }
    bodies
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_taken_for_a_whole_one() {
    let origin = Origin::start_with(|request| {
        let number = request.header("x-number").and_then(|number| number.parse::<usize>().ok());
        let Some(number) = number else { return Answer::stream() };
        let BadBody { bytes, how } = bad_bodies().swap_remove(number);
        Answer::raw(bytes).then_cut(how)
    })
    .await;
    let mut attacked = Attacked::start(&origin.url()).await;

    for (number, BadBody { bytes, how }) in bad_bodies().iter().enumerate() {
        for (kind, protocol) in KINDS {
            let number = number.to_string();
            let response = begin(&attacked.client(protocol), kind, &[("x-number", &number)], "").await;
            // A reset may overtake the head.
            let Ok(response) = response else { continue };
            let status = response.status();
            let is_stream = response.headers()["content-type"] == "text/event-stream";
            let whole = within(DEADLINE, "the end", response.into_body().collect()).await;

            let about = format!("{kind} {protocol:?} {bytes:?} {how:?}: {status} {whole:?}");
            if status == StatusCode::OK && kind == OPENED_BY_POST && is_stream {
                let text = String::from_utf8(whole.expect(&about).to_bytes().to_vec()).unwrap();
                assert!(text.contains("\"reason\":\"upstream_broken\""), "{about}");
            } else if status == StatusCode::OK {
                assert!(whole.is_err(), "cut, not ended: {about}");
            } else {
                assert_eq!(status, StatusCode::BAD_GATEWAY, "{about}");
            }
        }
    }

    attacked.assert_reader_unharmed().await;
}

#[tokio::test]
async fn an_endless_response_takes_bounded_memory() {
    let floods = [
        ("line", Flood::start("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", "dddddddddddddddd").await),
        ("data", Flood::start("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ", "dddd").await),
        ("event", Flood::start("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", "data: d\n").await),
        ("comment", Flood::start("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n:", "cccc").await),
        ("events", Flood::start("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", "data: d\n\n").await),
        ("answer", Flood::start("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", "[[[[[[[[").await),
        ("head", Flood::start("HTTP/1.1 200 OK\r\n", "x-header: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await),
        ("head line", Flood::start("HTTP/1.1 200 OK\r\nx: ", "aaaa").await),
        ("reason", Flood::start("HTTP/1.1 200 ", "aaaa").await),
        ("1xx", Flood::start("", "HTTP/1.1 100 Continue\r\n\r\n").await),
        ("early hints", Flood::start("", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await),
        (
            "trailers",
            Flood::start(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
                "x-trailer: aaaaaaaaaaaaaaaa\r\n",
            )
            .await,
        ),
        (
            "extension",
            Flood::start(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n1;",
                "aaaaaaaa",
            )
            .await,
        ),
    ];
    for (what, flood) in &floods {
        let mut attacked = Attacked::start(&flood.url()).await;
        let before = resident(&attacked.gateway);
        let mut open = Vec::new();

        for (kind, protocol) in KINDS {
            let response = begin(&attacked.client(protocol), kind, &[], "").await;
            if let Ok(response) = response {
                let status = response.status().as_u16();
                let is_begun =
                    ["line", "data", "event", "comment", "events", "answer", "trailers", "extension"].contains(what);
                let expected: &[u16] = if is_begun { &[200] } else { &[502, 504] };
                assert!(expected.contains(&status), "{what} on {kind}: {status}");
                // Nobody reads the bodies.
                open.push(response);
            }
        }
        watch_for(std::time::Duration::from_millis(300)).await;

        assert_grown_by_less_than(&attacked.gateway, before, 64);
        drop(open);
        attacked.assert_reader_unharmed().await;
    }
}

#[tokio::test]
async fn a_compressed_answer_and_a_slow_one_pass_whole_or_not_at_all() {
    let origin = Origin::start_with(|request| match request.header("x-number") {
        Some("gzip stream") => Answer::stream().header("content-encoding", "gzip").then(SECRET).then_cut(Cut::End),
        Some("gzip answer") => {
            Answer::status(400).header("content-encoding", "gzip").header("content-type", "text/plain").then(SECRET)
        }
        Some("drip") => {
            let drips = "data: drip\n\n".repeat(100);
            drips.bytes().fold(Answer::stream(), |answer, byte| answer.then(vec![byte])).then_cut(Cut::End)
        }
        _ => Answer::stream(),
    })
    .await;
    let mut attacked = Attacked::start(&origin.url()).await;

    for (kind, protocol) in KINDS {
        let client = attacked.client(protocol);
        let ask = async |what| begin(&client, kind, &[("x-number", what)], "").await.unwrap();

        let stream = ask("gzip stream").await;
        let answer = ask("gzip answer").await;
        let drip = ask("drip").await;

        let is_forwarded = kind == FORWARDED;
        assert_eq!(stream.status(), if is_forwarded { 200 } else { 502 }, "{kind}");
        let text = stream.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text == SECRET, is_forwarded, "{kind}: what cannot be read is not passed on as events: {text:?}");
        assert_eq!((answer.status().as_u16(), &answer.headers()["content-encoding"]), (400, &"gzip".parse().unwrap()));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), SECRET);
        let text = drip.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(String::from_utf8_lossy(&text).matches("data: drip").count(), 100, "{kind} {protocol:?}");
    }

    attacked.assert_reader_unharmed().await;
}
