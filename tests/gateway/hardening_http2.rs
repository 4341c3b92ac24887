//! Hostile HTTP/2 clients, in raw frames. After each attack a bystander still gets its events, and memory is bounded.

use tokio::time::timeout;

use crate::support::attack_fixture::AttackFixture;
use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::figures::{assert_grown_by_less_than, resident, wait_metric};
use crate::support::frames::{
    self, ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, field, frame, request, settings, subscription,
};
use crate::support::origin::Origin;
use crate::support::raw::Raw;
use crate::support::setup::Setup;
use crate::support::wait::DEADLINE;

/// Error codes (RFC 9113, 7).
const REFUSED_STREAM: u8 = 7;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

fn client(fixture: &AttackFixture) -> Client {
    Client::http2(fixture.gateway.address())
}

/// Sends this number of pieces, or fewer if the gateway closes the connection or stops reading.
async fn pour(frames: &mut Frames, pieces: usize, mut piece: impl FnMut(u32) -> Vec<u8>) {
    let mut number = 0;
    for _ in 0..pieces {
        let mut batch = Vec::new();
        while batch.len() < 16 * 1024 {
            batch.extend(piece(number));
            number += 1;
        }
        if !frames.send(&batch).await {
            return;
        }
    }
}

#[tokio::test]
async fn rapidly_reset_requests_are_cheap() {
    let mut fixture = AttackFixture::new("").await;
    let before = resident(&fixture.gateway);
    for _ in 0..3 {
        let mut frames = Frames::connect(&client(&fixture), &[]).await;
        pour(&mut frames, 100, |number| {
            let stream = 2 * number + 1;
            [request(stream, "/prices"), frame(RST_STREAM, 0, stream, &CANCEL)].concat()
        })
        .await;
        fixture.assert_bystander_unharmed().await;
    }

    let requests = fixture.origin.requests().len();
    assert!(requests <= 2, "{requests} upstream requests");
    assert_grown_by_less_than(&fixture.gateway, before, 32);
}

#[tokio::test]
async fn floods_of_small_frames_take_bounded_memory() {
    let mut fixture = AttackFixture::new("").await;
    let before = resident(&fixture.gateway);
    let open = [subscription("/prices"), Vec::new()].concat();
    let attacks: Vec<(&str, Vec<u8>)> = vec![
        ("settings", settings(&[(INITIAL_WINDOW_SIZE, 65_535)])),
        ("ping", frame(PING, 0, 0, b"pingpong")),
        ("unknown", frame(0xfa, 0, 0, b"whatever")),
        ("priority", frame(2, 0, 1, &[0, 0, 0, 3, 1])),
        ("window update", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("empty data", frame(DATA, 0, 1, b"")),
        ("reset unknown", frame(RST_STREAM, 0, 1, &CANCEL)),
        ("zero window update", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 0])),
    ];
    for (what, piece) in &attacks {
        let mut frames = Frames::connect(&client(&fixture), &[]).await;
        // The request's body never ends, so the stream stays open for more frames.
        frames.send(&frame(HEADERS, END_HEADERS, 1, &open)).await;
        // The client reads nothing, so answers queue up until back-pressure sets in.
        pour(&mut frames, 100, |_| piece.clone()).await;
        fixture.assert_bystander_unharmed().await;
        assert_grown_by_less_than(&fixture.gateway, before, 48);
        drop(frames);
        assert!(fixture.gateway.exit_status().is_none(), "{what}");
    }
}

#[tokio::test]
async fn endless_and_oversized_header_blocks_are_refused_in_bounded_memory() {
    let mut fixture = AttackFixture::new("").await;
    let before = resident(&fixture.gateway);

    // Endless CONTINUATION frames, with fields and empty (CVE-2024-27316 and similar).
    for piece in [frame(CONTINUATION, 0, 1, &field("x-y", "zzzz").repeat(100)), frame(CONTINUATION, 0, 1, b"")] {
        let mut frames = Frames::connect(&client(&fixture), &[]).await;
        frames.send(&frame(HEADERS, END_STREAM, 1, &subscription("/prices"))).await;
        pour(&mut frames, 400, |_| piece.clone()).await;
        assert!(frames.end(DEADLINE).await.is_none_or(|error| error != 0));
    }

    // An HPACK bomb: one long field in the dynamic table, then thousands of one-byte references to it.
    let mut bomb = subscription("/prices");
    bomb.push(0x40);
    bomb.extend([1, b'x', 0x7f, 0x80 | 0x21, 0x1e]);
    bomb.extend([b'v'; 0x7f + 0x21 + (0x1e << 7)]);
    bomb.extend([0x80 | 62; 8000]);
    // A flood of distinct short fields.
    let mut count = subscription("/prices");
    for number in 0..1200 {
        count.extend(field(&format!("x{number}"), ""));
    }
    // A cookie split into many fields (RFC 9113, 8.2.3).
    let mut crumbs = subscription("/prices");
    for _ in 0..1500 {
        crumbs.extend(field("cookie", ""));
    }
    for block in [bomb, count, crumbs] {
        let mut frames = Frames::connect(&client(&fixture), &[(INITIAL_WINDOW_SIZE, 0)]).await;
        for stream in (1..200).step_by(2) {
            let end = block.len().min(16_000);
            frames
                .send(&frame(
                    HEADERS,
                    END_STREAM | if end == block.len() { END_HEADERS } else { 0 },
                    stream,
                    &block[..end],
                ))
                .await;
            if end < block.len() && !frames.send(&frame(CONTINUATION, END_HEADERS, stream, &block[end..])).await {
                break;
            }
        }
        fixture.assert_bystander_unharmed().await;
        assert_grown_by_less_than(&fixture.gateway, before, 48);
    }
    assert_eq!(fixture.origin.requests().len(), 1);
}

#[tokio::test]
async fn no_more_streams_are_open_than_advertised() {
    let mut fixture = AttackFixture::new("h2_streams = 5").await;
    let mut frames = Frames::connect(&client(&fixture), &[]).await;
    let advertised = frames.find(|frame| frame.kind == SETTINGS && frame.flags != ACK).await.expect("SETTINGS");
    let most = advertised.payload.chunks(6).find(|value| value[..2] == MAX_CONCURRENT_STREAMS.to_be_bytes());
    assert_eq!(most.map(|value| value[2..].to_vec()), Some(vec![0, 0, 0, 5]));
    frames.send(&frame(SETTINGS, ACK, 0, b"")).await;

    for stream in [1, 3, 5, 7, 9] {
        frames.send(&request(stream, "/prices")).await;
        frames.find(|frame| frame.kind == HEADERS && frame.stream == stream).await.expect("an answer");
    }
    frames.send(&request(11, "/prices")).await;

    let refused = frames.find(|frame| frame.stream == 11).await.expect("a refusal");
    assert_eq!((refused.kind, refused.payload[3]), (RST_STREAM, REFUSED_STREAM));
    assert!(frames.answers_ping().await);
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn a_refused_head_request_has_no_content() {
    let mut fixture = AttackFixture::new("").await;
    let mut frames = Frames::connect(&client(&fixture), &[]).await;
    let asked = [(":method", "HEAD"), (":scheme", "http"), (":authority", "localhost"), (":path", "/nothing/here")];
    let block = asked.map(|(name, value)| field(name, value)).concat();
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await;

    let answer = frames.find(|frame| frame.stream == 1).await.expect("an answer");

    assert_eq!((answer.kind, answer.flags & END_STREAM), (HEADERS, END_STREAM));
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn silence_at_each_stage_closes_the_connection() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let limits = "handshake_timeout = \"500ms\"\nheader_timeout = \"2s\"\nidle_timeout = \"2s\"";
    let plain = Setup::for_origin(&origin.url()).limits(limits).start().await;
    let encrypted = Setup::for_origin(&origin.url()).limits(limits).tls(&authority.server()).start().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let with_settings = [preface.clone(), settings(&[])].concat();
    let half_a_head = [with_settings.clone(), frame(HEADERS, END_STREAM, 1, &subscription("/prices"))].concat();

    for client in [Client::http2(plain.address()), Client::http2(encrypted.address()).tls(&authority)] {
        for stage in [&b""[..], &preface[..10], &preface, &with_settings, &half_a_head] {
            let mut raw = Raw::dial(&client).await;
            raw.send(stage).await;
            let _ = raw.read_to_end(DEADLINE).await;
        }
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn only_a_client_that_does_not_answer_pings_is_closed() {
    let mut fixture = AttackFixture::new("stall_timeout = \"500ms\"").await;
    let mut silent = Frames::connect(&client(&fixture), &[]).await;
    let mut alive = Frames::connect(&client(&fixture), &[]).await;
    for frames in [&mut silent, &mut alive] {
        frames.send(&request(1, "/prices")).await;
    }
    wait_metric(&fixture.gateway, "subscribers", &["h2"], 2.0).await;

    for _ in 0..4 {
        let asked = alive.find(|frame| frame.kind == PING && frame.flags & ACK == 0).await.expect("still open");
        alive.send(&frame(PING, ACK, 0, &asked.payload)).await;
    }

    wait_metric(&fixture.gateway, "subscribers", &["h2"], 1.0).await;
    assert!(alive.answers_ping().await, "the other connection was closed too");
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn the_preface_must_arrive_within_the_handshake_timeout() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let limits = "handshake_timeout = \"500ms\"\nheader_timeout = \"50s\"\nidle_timeout = \"50s\"";
    let gateway = Setup::for_origin(&origin.url()).limits(limits).tls(&authority.server()).start().await;

    let mut raw = Raw::dial(&Client::http2(gateway.address()).tls(&authority)).await;

    let _ = raw.read_to_end(DEADLINE).await;
}

#[tokio::test]
async fn malformed_requests_are_reset_alone_and_never_reach_the_upstream() {
    let mut fixture = AttackFixture::new("").await;
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/prices")];
    let block =
        |fields: &[(&str, &str)]| fields.iter().flat_map(|(name, value)| field(name, value)).collect::<Vec<u8>>();
    let with = |extra: &[(&str, &str)]| block(&[&pseudo, extra].concat());
    let but = |name: &str, value: &str| {
        block(&pseudo.map(|(known, normal)| if known == name { (known, value) } else { (known, normal) }))
    };
    let without = |name: &str| block(&pseudo.into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>());
    let blocks = vec![
        without(":method"),
        without(":path"),
        without(":authority"),
        but(":path", ""),
        but(":path", "prices"),
        but(":path", "*"),
        but(":path", "/pri ces"),
        but(":path", "/a/../prices"),
        but(":path", "/prices\r\nx: y"),
        but(":path", "http://elsewhere/prices"),
        but(":path", "/prices\0"),
        but(":authority", "user@localhost"),
        but(":authority", "a b"),
        but(":authority", "localhost/prices"),
        but(":method", ""),
        but(":method", "GE T"),
        but(":method", "GET /victim HTTP/1.1\r\n"),
        but(":method", "CONNECT"),
        with(&[("X-Upper", "1")]),
        with(&[("x\r\ny", "1")]),
        with(&[("x", "a\r\nb: c")]),
        with(&[("x", "a\0b")]),
        with(&[("", "nameless")]),
        with(&[("x y", "1")]),
        with(&[(":path", "/victim")]),
        with(&[(":unknown", "1")]),
        with(&[(":status", "200")]),
        with(&[("connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("upgrade", "h2c")]),
        with(&[("keep-alive", "1")]),
        with(&[("te", "gzip")]),
        with(&[("host", "elsewhere")]),
        with(&[("content-length", "5")]),
        with(&[("content-length", "-1")]),
        block(&[&[("x", "before")][..], &pseudo].concat()),
    ];

    for block in &blocks {
        let mut frames = Frames::connect(&client(&fixture), &[]).await;
        frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, block)).await;
        // The answer may be a reset, a GOAWAY or a 4xx, but not a 200, which is entry 8 of the static table.
        let answer = timeout(DEADLINE, frames.find(|frame| frame.stream == 1 || frame.kind == frames::GOAWAY)).await;
        let text = String::from_utf8_lossy(block);
        match answer.unwrap_or_else(|_| panic!("no answer to {text:?}")) {
            Some(frame) if frame.kind == HEADERS => assert_ne!(frame.payload[0], 0x88, "200 for {text:?}"),
            _ => {}
        }
    }

    assert_eq!(fixture.origin.requests().len(), 1, "{:?}", fixture.origin.requests());
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn broken_frames_end_the_connection() {
    let mut fixture = AttackFixture::new("").await;
    let mut too_large = frame(DATA, 0, 1, b"");
    too_large[..3].copy_from_slice(&[0xff, 0xff, 0xff]);
    let attacks = [
        too_large,
        frame(SETTINGS, 0, 1, b""),
        frame(SETTINGS, 0, 0, b"12345"),
        frame(SETTINGS, ACK, 0, b"123456"),
        settings(&[(INITIAL_WINDOW_SIZE, u32::MAX)]),
        settings(&[(5, 1)]),
        settings(&[(2, 7)]),
        frame(PING, 0, 0, b"short"),
        frame(PING, 0, 1, b"pingpong"),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 0]),
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2),
        frame(DATA, 0, 0, b"x"),
        frame(DATA, 0, 7, b"x"),
        frame(HEADERS, END_HEADERS, 0, &subscription("/prices")),
        frame(HEADERS, END_HEADERS, 2, &subscription("/prices")),
        frame(HEADERS, END_HEADERS | 8, 1, &[0xff, 1, 2]),
        frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        frame(CONTINUATION, END_HEADERS, 1, b""),
        frame(5, END_HEADERS, 1, &[0, 0, 0, 2]),
        [frame(HEADERS, 0, 1, &subscription("/prices")), frame(PING, 0, 0, b"pingpong")].concat(),
        frame(RST_STREAM, 0, 0, &CANCEL),
        b"GET /prices HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
    ];

    for attack in attacks {
        let mut frames = Frames::connect(&client(&fixture), &[]).await;
        frames.send(&attack).await;
        let error = frames.end(DEADLINE).await;
        assert_ne!(error, Some(0), "{attack:?}");
    }

    assert_eq!(fixture.origin.requests().len(), 1);
    fixture.assert_bystander_unharmed().await;
}
