//! Bodies in both directions: large, slow, in chunks, with trailers, too large, or given up.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::json;

use crate::fixture::{AnyBody, PROTOCOLS, begin, full, get, read, request, send, site_behind_gateway};
use crate::support::client::Client;
use crate::support::figures::{assert_grown_by_less_than, resident};
use crate::support::wait::{DEADLINE, within};

/// A body of so many pieces of 64 KiB, in chunks.
fn pieces(count: usize) -> AnyBody {
    let piece = Bytes::from(vec![b'y'; 64 * 1024]);
    let frames = stream::iter((0..count).map(move |_| Ok::<_, std::io::Error>(Frame::data(piece.clone()))));
    BodyExt::boxed(StreamBody::new(frames))
}

/// A body that begins and never goes on.
fn stalled() -> AnyBody {
    let first = stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"hello")))]);
    BodyExt::boxed(StreamBody::new(first.chain(stream::pending())))
}

#[tokio::test]
async fn an_upload_of_64_mib_passes_with_flat_memory() {
    let (_site, gateway) = site_behind_gateway("").await;

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        get(&client, "/echo", &[]).await;
        let before = resident(&gateway);

        let request = request(&client, "POST", "/echo", &[], pieces(1024));
        let answer = within(Duration::from_secs(60), "upload", async {
            read(begin(&client, request).await.unwrap()).await.unwrap()
        })
        .await;

        assert_eq!(answer.json()["length"], json!(64 << 20), "{protocol:?}");
        assert_grown_by_less_than(&gateway, before, 8);
    }
}

#[tokio::test]
async fn a_download_of_64_mib_passes_with_flat_memory() {
    let (_site, gateway) = site_behind_gateway("").await;

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        get(&client, "/echo", &[]).await;
        let before = resident(&gateway);

        let request = request(&client, "GET", &format!("/bytes/{}", 64 << 20), &[], full(""));
        let mut body = begin(&client, request).await.unwrap().into_body();
        let mut length = 0;
        while let Some(frame) = within(DEADLINE, "a frame", body.frame()).await {
            length += frame.unwrap().into_data().map_or(0, |bytes| bytes.len());
        }

        assert_eq!(length, 64 << 20, "{protocol:?}");
        assert_grown_by_less_than(&gateway, before, 8);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_whether_it_is_announced_or_not() {
    let (site, gateway) = site_behind_gateway("body_bytes = \"1MiB\"").await;

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        let announced = send(&client, "POST", "/echo", &[], full(vec![0; (1 << 20) + 1])).await;
        // A client that is still sending may miss the answer over HTTP/1.1.
        let announced = announced.map(|answer| (answer.status.as_u16(), answer.reason()));
        assert!(announced.is_err() || announced.as_ref().unwrap() == &(413, "body_bytes".to_owned()), "{announced:?}");
        let chunked = send(&client, "POST", "/echo", &[], pieces(64)).await;
        assert!(chunked.is_err() || chunked.as_ref().unwrap().status == 413, "{chunked:?}");

        let exact = send(&client, "POST", "/echo", &[], full(vec![0; 1 << 20])).await.unwrap();
        assert_eq!(exact.json()["length"], json!(1 << 20));
    }
    assert!(site.stats().await["bytes"].as_u64().unwrap() <= 5 << 20);
}

#[tokio::test]
async fn a_body_that_does_not_go_on_is_408() {
    let (_site, gateway) = site_behind_gateway("idle_timeout = \"300ms\"").await;

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        let answer = send(&client, "POST", "/echo", &[], stalled()).await.unwrap();

        assert_eq!((answer.status.as_u16(), answer.reason()), (408, "body_timeout".to_owned()), "{protocol:?}");
    }
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let (_site, gateway) = site_behind_gateway("").await;

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        let answer = get(&client, "/trailers", &[("te", "trailers")]).await;
        assert_eq!(answer.body, "body");
        assert_eq!(answer.trailers.expect("trailers")["x-sum"], "4", "{protocol:?}");

        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("5"));
        let frames =
            [Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"hello"))), Ok(Frame::trailers(trailers))];
        let body = BodyExt::boxed(StreamBody::new(stream::iter(frames)));
        let seen = send(&client, "POST", "/echo", &[("trailer", "x-sum")], body).await.unwrap().json();
        assert_eq!((&seen["length"], &seen["trailers"]["x-sum"]), (&json!(5), &json!("5")), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_slow_reader_of_one_response_holds_up_no_other() {
    let (_site, gateway) = site_behind_gateway("").await;
    let slow = Client::http1(gateway.address());
    let request = request(&slow, "GET", &format!("/bytes/{}", 64 << 20), &[], full(""));
    let unread = begin(&slow, request).await.unwrap();

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        for _ in 0..20 {
            assert_eq!(get(&client, "/bytes/100000", &[]).await.body.len(), 100_000);
        }
    }

    drop(unread);
}
