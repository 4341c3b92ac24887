//! What the application gets, and what its client gets back.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::json;

use crate::fixture::{PROTOCOLS, begin, config, everything, full, get, request, send, site_behind_gateway, start};
use crate::support::client::Client;
use crate::support::figures::{metric, wait_metric};
use crate::support::wait::{DEADLINE, eventually, within};

#[tokio::test]
async fn every_method_and_status_passes_with_its_fields() {
    let (_site, gateway) = site_behind_gateway("").await;

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        for (method, status) in
            [("GET", 200), ("POST", 201), ("PUT", 409), ("PATCH", 500), ("DELETE", 418), ("REPORT", 207)]
        {
            let path = format!("/echo/a%20b/?status={status}&q=%22x%22+y");
            let body = if method == "GET" { "" } else { "hello" };

            let answer = send(&client, method, &path, &[("x-one", "1"), ("x-one", "2")], full(body)).await.unwrap();

            let seen = answer.json();
            assert_eq!(answer.status.as_u16(), status);
            assert_eq!((&seen["method"], &seen["url"]), (&json!(method), &json!(path)), "{protocol:?}");
            assert_eq!((&seen["length"], &seen["headers"]["x-one"]), (&json!(body.len()), &json!("1, 2")));
            assert_eq!(answer.header("x-status"), Some("echoed"));
            assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
        }
        let head = send(&client, "HEAD", "/bytes/1000", &[], full("")).await.unwrap();
        assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, Some("1000"), 0));
        let none = get(&client, "/echo?status=204", &[]).await;
        assert_eq!((none.status.as_u16(), none.body.len()), (204, 0));
    }
    assert!(metric(&gateway, "forwarded_requests_total", &["route=\"site\"", "status=\"409\""]).await >= 2.0);
    eventually(DEADLINE, || async { metric(&gateway, "forwarded_in_flight", &["route=\"site\""]).await == 0.0 }).await;
}

#[tokio::test]
async fn the_gateway_alone_says_who_the_client_is() {
    let (_site, gateway) = site_behind_gateway("").await;

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        let lies = [
            ("forwarded", "for=10.9.9.9"),
            ("x-forwarded-for", "10.9.9.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "elsewhere"),
            ("x-forwarded-port", "1"),
            ("x-real-ip", "10.9.9.9"),
            ("x_forwarded_for", "10.9.9.9"),
            ("x-request-id", "mine"),
        ];

        let seen = get(&client, "/echo", &lies).await.json();

        let host = format!("localhost:{}", gateway.address().port());
        let headers = &seen["headers"];
        assert_eq!(headers["host"], json!(host), "{protocol:?}");
        assert_eq!(headers["forwarded"], json!(format!("for=127.0.0.1;proto=http;host=\"{host}\"")));
        assert_eq!(headers["x-forwarded-for"], json!("127.0.0.1"));
        assert_eq!((&headers["x-forwarded-proto"], &headers["x-forwarded-host"]), (&json!("http"), &json!(host)));
        assert_ne!(headers["x-request-id"], json!("mine"));
        let rest: Vec<_> = ["x-real-ip", "x_forwarded_for", "x-forwarded-port"].map(|name| &headers[name]).into();
        assert!(rest.iter().all(|value| value.is_null()), "{headers}");
    }
}

#[tokio::test]
async fn the_host_of_the_upstream_and_its_own_fields_are_sent_where_the_route_says_so() {
    let site = crate::fixture::Site::start().await;
    let toml = config(&site.url(), &everything("host = \"upstream\""))
        .replace("[upstreams.app]\n", "[upstreams.app]\nheaders = { x-key = \"ours\" }\n");
    let gateway = start(&toml).await;

    let seen = get(&Client::http1(gateway.address()), "/echo", &[("x-key", "theirs")]).await.json();

    assert_eq!(seen["headers"]["host"], json!(site.url().trim_start_matches("http://")));
    assert_eq!(seen["headers"]["x-key"], json!("ours"));
}

#[tokio::test]
async fn connections_to_the_application_are_used_again() {
    let (site, gateway) = site_behind_gateway("").await;
    let client = Client::http1(gateway.address());

    for _ in 0..50 {
        assert_eq!(get(&client, "/echo", &[]).await.status, 200);
    }

    let stats = site.stats().await;
    assert!(stats["connections"].as_u64().unwrap() <= 6, "{stats}");
}

#[tokio::test]
async fn a_drain_lets_exchanges_finish_and_waits_for_no_idle_connection() {
    let (_site, gateway) = site_behind_gateway("").await;
    let client = Client::http1(gateway.address());
    get(&client, "/echo", &[]).await;
    let uploads = PROTOCOLS.map(|protocol| {
        let client = Client::new(protocol, gateway.address());
        tokio::spawn(async move { send(&client, "POST", "/slow", &[], full(vec![0; 2 << 20])).await })
    });
    let mut download =
        begin(&client, request(&client, "GET", &format!("/bytes/{}", 64 << 20), &[], full(""))).await.unwrap();
    wait_metric(&gateway, "forwarded_in_flight", &["route=\"site\""], 3.0).await;

    gateway.signal("TERM");

    for upload in uploads {
        let answer = upload.await.unwrap().unwrap();
        assert_eq!(answer.json(), json!({ "length": 2 << 20 }));
    }
    let mut length = 0;
    while let Some(frame) = within(DEADLINE, "a frame", download.body_mut().frame()).await {
        length += frame.unwrap().into_data().map_or(0, |bytes| bytes.len());
    }
    assert_eq!(length, 64 << 20, "a response that has begun is not cut");
    assert!(gateway.wait_exit(Duration::from_secs(10)).await.success());
    assert!(gateway.log().iter().any(|line| line.contains("drained")), "{:#?}", gateway.log());
}
