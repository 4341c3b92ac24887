//! Paths and queries of clients, and those that are sent upstream.

use crate::support::client::Client;
use crate::support::origin::Origin;
use crate::support::raw::{Raw, status};
use crate::support::server::Rillgate;

/// Starts a gateway with one listener, one upstream, and routes with these keys.
async fn gateway(url: &str, routes: &[&str]) -> Rillgate {
    let mut config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [upstreams.origin]\nurls = [\"{url}\"]\n"
    );
    for (index, route) in routes.iter().enumerate() {
        config += &format!("[[routes]]\nname = \"r{index}\"\nupstream = \"origin\"\nauth = \"public\"\n{route}\n");
    }
    Rillgate::start(&config).await
}

fn both(gateway: &Rillgate) -> [Client; 2] {
    [Client::http1(gateway.address()), Client::http2(gateway.address())]
}

fn asked(origin: &Origin) -> Vec<String> {
    origin.requests().into_iter().map(|request| request.target).collect()
}

#[tokio::test]
async fn a_trailing_slash_is_significant_and_sent_upstream() {
    let origin = Origin::start().await;
    let routes = ["path = \"/events/\"", "path = \"/other\"\nupstream_path = \"/feed/\"", "path = \"/{topic}/feed/\""];
    let gateway = gateway(&format!("{}/base/", origin.url()), &routes).await;

    for client in both(&gateway) {
        for path in ["/events/", "/other", "/a/feed/"] {
            assert_eq!(client.subscribe(path, &[]).await.status, 200, "{path}");
        }
        for path in ["/events", "/other/", "/a/feed", "//feed/"] {
            let expected = if path.starts_with("//") { 400 } else { 404 };
            assert_eq!(client.subscribe(path, &[]).await.status.as_u16(), expected, "{path}");
        }
    }

    assert_eq!(asked(&origin), ["/base/events/", "/base/feed/", "/base/a/feed/"]);
}

#[tokio::test]
async fn a_base_url_with_a_trailing_slash_adds_no_second_slash() {
    let origin = Origin::start().await;
    let gateway = gateway(&format!("{}/events/", origin.url()), &["path = \"/events\"\nupstream_path = \"/\""]).await;

    let subscription = Client::http1(gateway.address()).subscribe("/events", &[]).await;

    assert_eq!((subscription.status.as_u16(), asked(&origin)), (200, vec!["/events/".to_owned()]));
}

#[tokio::test]
async fn spellings_of_one_capture_share_one_canonical_stream() {
    let origin = Origin::start().await;
    let gateway = gateway(&origin.url(), &["path = \"/s/{name}\""]).await;
    let mut open = Vec::new();

    for client in both(&gateway) {
        for path in ["/s/a:b@c", "/s/a%3ab%40c", "/s/%61%3Ab@c", "/s/z%C3%BCrich", "/s/z%c3%bcrich"] {
            open.push(client.subscribe(path, &[]).await);
            assert_eq!(open.last().map(|open| open.status.as_u16()), Some(200), "{path}");
        }
    }
    // curl sends the path without percent-encoding.
    let text = Raw::exchange(
        &Client::http1(gateway.address()),
        "GET /s/zürich?follow=false HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".as_bytes(),
    )
    .await;
    assert_eq!(status(&text), 200, "{text}");

    assert_eq!(asked(&origin), ["/s/a:b@c", "/s/z%C3%BCrich"]);
    let streams = Client::http1(gateway.admin()).subscribe("/streams", &[]).await.text().await;
    assert!(streams.contains("/s/z%C3%BCrich"), "{streams}");
}

#[tokio::test]
async fn a_character_that_no_capture_takes_is_named_and_never_sent_upstream() {
    let origin = Origin::start().await;
    let gateway = gateway(&origin.url(), &["path = \"/s/{name}\"", "path = \"/{any}/{name}/x\""]).await;
    let long = format!("/s/{}", "x".repeat(1025));
    let cases = [
        ("/s/a%2Fb", 400, "within a segment"),
        ("/s/a%5Cb", 400, "within a segment"),
        ("/s/a%25b", 400, "within a segment"),
        ("/s/a%3Bb", 400, "within a segment"),
        ("/s/a%00b", 400, "control character"),
        ("/s/a%C2%85b", 400, "control character"),
        ("/s/%FC", 400, "not UTF-8"),
        ("/s/%C0%AF", 400, "not UTF-8"),
        ("/s/..", 400, "dot segment"),
        ("/s/%2e%2E", 400, "dot segment"),
        ("/s/*", 400, "segment for {name} contains '*'"),
        ("/s/%2A", 400, "segment for {name} contains '*'"),
        ("/s/a;b", 400, "segment for {name} contains ';'"),
        ("/s/a%20b", 400, "segment for {name} contains ' '"),
        ("/s/a&b", 400, "segment for {name} contains '&'"),
        (&long, 414, "segment for {name} is longer than 1024 bytes"),
        ("/t/*", 404, "no stream"),
    ];

    for client in both(&gateway) {
        for (path, status, words) in cases {
            let mut response = client.subscribe(path, &[]).await;
            let text = response.text().await;
            assert_eq!(response.status.as_u16(), status, "{path}: {text}");
            assert!(text.contains(words), "{path}: {text}");
        }
        assert_eq!(client.subscribe(&long[..long.len() - 1], &[]).await.status, 200);
    }
    assert_eq!(asked(&origin).len(), 1);
}

#[tokio::test]
async fn queries_of_urls_and_upstream_path_are_joined_and_encoded() {
    let origin = Origin::start().await;
    let routes = [
        "path = \"/{venue}/{symbol}\"\nupstream_path = \"/feed/{symbol}?venue={venue}&mode=full\"\nshare.query = [\"q\"]",
        "path = \"/fixed\"",
        "path = \"/always\"\nopen = \"always\"\nupstream_path = \"/always?a=1\"",
    ];
    let gateway = gateway(&format!("{}/base?stream=public&x=%2f", origin.url()), &routes).await;
    origin.wait_open(1).await;
    let client = Client::http1(gateway.address());

    for path in ["/a:b+c%3D/%C3%BC?q=1+%26&mode=none&stream=mine", "/fixed?stream=mine"] {
        assert_eq!(client.subscribe(path, &[]).await.status, 200, "{path}");
    }

    let expected = [
        "/base/always?stream=public&x=%2f&a=1",
        "/base/feed/%C3%BC?stream=public&x=%2f&venue=a%3Ab%2Bc%3D&mode=full&q=1%20%26",
        "/base/fixed?stream=public&x=%2f",
    ];
    assert_eq!(asked(&origin), expected);
}
