//! An application that is away, silent, or breaks off.

use http_body_util::BodyExt;

use crate::fixture::{PROTOCOLS, begin, config, everything, full, get, request, send, site_behind_gateway, start};
use crate::support::client::Client;
use crate::support::figures::metric;
use crate::support::origin::Origin;
use crate::support::reserved_addr::reserve;
use crate::support::script::Answer;
use crate::support::wait::{DEADLINE, within};

#[tokio::test]
async fn an_application_that_is_away_is_502_and_one_that_is_silent_504() {
    let (_site, gateway) = site_behind_gateway("response_timeout = \"300ms\"").await;
    let away = start(&config(&format!("http://{}", reserve()), &everything(""))).await;

    for protocol in PROTOCOLS {
        let answer = get(&Client::new(protocol, away.address()), "/", &[]).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (502, "upstream_unreachable".to_owned()));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let client = Client::new(protocol, gateway.address());
        for method in ["GET", "POST"] {
            let answer = send(&client, method, "/silent", &[], full("")).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.reason()), (504, "upstream_silent".to_owned()), "{protocol:?}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        }
    }
    assert!(metric(&away, "forwarded_requests_total", &["status=\"502\""]).await >= 2.0);
    assert!(away.log().iter().any(|line| line.contains("not forwarded") && line.contains("connection refused")));
}

#[tokio::test]
async fn an_answer_that_is_none_is_502() {
    for (bytes, reason) in [
        ("nonsense\r\n\r\n", "upstream_wrong"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!", "upstream_wrong"),
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "upstream_wrong"),
        ("", "upstream_dropped"),
    ] {
        let origin = Origin::start_with(move |_| Answer::raw(bytes)).await;
        let gateway = start(&config(&origin.url(), &everything(""))).await;

        for protocol in PROTOCOLS {
            let answer = get(&Client::new(protocol, gateway.address()), "/", &[]).await;

            assert_eq!((answer.status.as_u16(), &*answer.reason()), (502, reason), "{protocol:?} {bytes:?}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        }
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_is_cut_and_not_ended() {
    let (_site, gateway) = site_behind_gateway("idle_timeout = \"300ms\"").await;

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        for path in ["/cut", "/stall"] {
            let response = begin(&client, request(&client, "GET", path, &[], full(""))).await.unwrap();
            assert_eq!(response.status(), 200);

            let outcome = within(DEADLINE, "the end", response.into_body().collect()).await;

            assert!(outcome.is_err(), "{protocol:?} {path}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn what_came_of_a_response_before_it_broke_off_reaches_the_client() {
    let origin = Origin::start_with(|_| Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")).await;
    let gateway = start(&config(&origin.url(), &everything(""))).await;

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        for _ in 0..20 {
            let response = begin(&client, request(&client, "GET", "/", &[], full(""))).await.unwrap();
            assert_eq!(response.status(), 200);

            let mut body = response.into_body();
            let first = within(DEADLINE, "the data", body.frame()).await.unwrap().unwrap().into_data().unwrap();
            let end = within(DEADLINE, "the end", body.frame()).await;

            assert_eq!(first, "hello", "{protocol:?}");
            assert!(end.is_some_and(|end| end.is_err()), "{protocol:?}: cut, not ended");
        }
    }
}

#[tokio::test]
async fn requests_go_to_the_addresses_that_answer() {
    let (one, two) = (crate::fixture::Site::start().await, crate::fixture::Site::start().await);
    let away = format!("http://{}", reserve());
    let urls = format!("{away}\", \"{}\", \"{}", one.url(), two.url());
    let gateway = start(&config(&urls, &everything(""))).await;
    let client = Client::http1(gateway.address());

    for _ in 0..12 {
        assert_eq!(send(&client, "POST", "/echo", &[], full("hello")).await.unwrap().status, 200);
    }

    for site in [one, two] {
        let requests = site.stats().await["requests"].as_u64().unwrap();
        assert!(requests >= 4, "both take turns: {requests}");
    }
}

#[tokio::test]
async fn an_address_that_goes_away_is_passed_over_and_one_that_answers_with_an_error_is_not() {
    let (one, two) = (crate::fixture::Site::start().await, crate::fixture::Site::start().await);
    let urls = format!("{}\", \"{}", one.url(), two.url());
    let gateway = start(&config(&urls, &everything(""))).await;
    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        for _ in 0..4 {
            assert_eq!(get(&client, "/echo", &[]).await.status, 200);
        }
    }

    drop(one);

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        for _ in 0..6 {
            let answer = send(&client, "POST", "/echo?status=503", &[], full("hello")).await.unwrap();
            // An answer of the application's is none of the gateway's: it counts against nobody.
            assert_eq!((answer.status.as_u16(), answer.header("x-status")), (503, Some("echoed")), "{protocol:?}");
        }
    }
    assert!(two.stats().await["requests"].as_u64().unwrap() >= 12 + 4);
}
