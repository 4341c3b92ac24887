//! Ambiguous requests in front of Node and nginx: each hides a second request that only one of two parsers sees, and no
//! application may see it.

use serde_json::{Value, json};

use crate::fixture::{Site, config, everything, get, site_behind_gateway, start};
use crate::support::ambiguous::{AMBIGUOUS_LENGTHS, BAD_CHUNKS, MALFORMED_HEADS};
use crate::support::attack_fixture::VICTIM;
use crate::support::client::Client;
use crate::support::producer::{self, Producer};
use crate::support::raw::{Raw, status};
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

/// A server that parses HTTP in its own way.
enum Application {
    Node(Site),
    Nginx(Producer),
}

impl Application {
    async fn start_all() -> [Self; 2] {
        [Self::Node(Site::start().await), Self::Nginx(Producer::start(producer::nginx).await)]
    }

    fn url(&self) -> String {
        match self {
            Self::Node(site) => site.url(),
            Self::Nginx(nginx) => nginx.url(),
        }
    }

    /// Returns the request lines that it has seen, up to the first with this path.
    async fn seen_until(&self, path: &str) -> Vec<String> {
        match self {
            Self::Node(site) => {
                let stats = site.stats().await;
                stats["targets"].as_array().unwrap().iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Self::Nginx(nginx) => {
                eventually(DEADLINE, || async { nginx.log().iter().any(|line| line.contains(path)) }).await;
                nginx.log()
            }
        }
    }
}

async fn assert_unseen(application: &Application, gateway: &Rillgate) {
    get(&Client::http1(gateway.address()), "/after", &[]).await;
    let seen = application.seen_until("/after").await;
    assert!(seen.iter().any(|line| line.contains("/after")), "{seen:?}");
    assert!(seen.iter().all(|line| !line.contains("victim")), "{seen:?}");
}

#[tokio::test]
async fn a_request_with_an_ambiguous_length_is_refused() {
    for application in Application::start_all().await {
        let gateway = start(&config(&application.url(), &everything(""))).await;
        let client = Client::http1(gateway.address());

        let bare = ["x: a\ncontent-length: 5", "x: a\rcontent-length: 5"];
        for fields in AMBIGUOUS_LENGTHS.iter().copied().chain(bare) {
            for method in ["GET", "POST"] {
                let request =
                    format!("{method} /echo HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n\r\n0\r\n\r\n{VICTIM}");
                let text = Raw::exchange(&client, request.as_bytes()).await;
                assert!((400..500).contains(&status(&text)), "{fields:?}: {text:?}");
            }
        }

        assert_unseen(&application, &gateway).await;
    }
}

#[tokio::test]
async fn a_bad_chunk_ends_the_exchange_and_the_connection() {
    for application in Application::start_all().await {
        let gateway = start(&config(&application.url(), &everything("idle_timeout = \"1s\""))).await;
        let client = Client::http1(gateway.address());

        for chunk in BAD_CHUNKS {
            let request =
                format!("POST /echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{VICTIM}");
            let text = Raw::exchange(&client, request.as_bytes()).await;
            assert!(text.is_empty() || (400..500).contains(&status(&text)), "{chunk:?}: {text:?}");
        }

        assert_unseen(&application, &gateway).await;
    }
}

/// Chunks with bytes after the size on its line. They change no length (RFC 9112, 7.1.1).
const BYTES_AFTER_A_SIZE: [&str; 5] = [
    "5;a=b\r\nhello\r\n0\r\n\r\n",
    "5;\u{0}\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5\t;\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0 \r\n\r\n",
];

#[tokio::test]
async fn bytes_after_the_size_of_a_chunk_are_ignored_as_nginx_does_and_not_sent_on() {
    let (_site, gateway) = site_behind_gateway("").await;
    let nginx = Producer::start(producer::nginx).await;
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let ordinary =
        Raw::exchange(&Client::http1(nginx.address()), format!("{head}5\r\nhello\r\n0\r\n\r\n").as_bytes()).await;

    for chunk in BYTES_AFTER_A_SIZE {
        let request = format!("{head}{chunk}");
        let by_nginx = Raw::exchange(&Client::http1(nginx.address()), request.as_bytes()).await;
        let forwarded = Raw::exchange(&Client::http1(gateway.address()), request.as_bytes()).await;

        assert_eq!(status(&by_nginx), status(&ordinary), "{chunk:?}: {by_nginx}");
        assert_eq!(status(&forwarded), 200, "{chunk:?}: {forwarded}");
        assert!(forwarded.contains("\"length\":5"), "{chunk:?}: {forwarded}");
    }
}

#[tokio::test]
async fn a_malformed_head_is_never_sent_on() {
    for application in Application::start_all().await {
        let gateway = start(&config(&application.url(), &everything(""))).await;

        for head in MALFORMED_HEADS {
            let mut raw = Raw::dial(&Client::http1(gateway.address())).await;
            raw.send(format!("{head}{VICTIM}").as_bytes()).await;
            assert!(raw.is_closed_within(DEADLINE).await, "{head:?}: still open after {:?}", raw.text());
            let text = raw.text();
            assert!(text.is_empty() || [400, 405, 505].contains(&status(&text)), "{head:?}: {text:?}");
        }

        assert_unseen(&application, &gateway).await;
        assert!(application.seen_until("/after").await.iter().all(|line| !line.contains("prices")));
    }
}

#[tokio::test]
async fn what_follows_a_body_is_the_next_request_and_is_seen_once() {
    let (site, gateway) = site_behind_gateway("").await;
    let next = "GET /next HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let request = format!("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello{next}");

    let text = Raw::exchange(&Client::http1(gateway.address()), request.as_bytes()).await;

    assert_eq!(text.matches("HTTP/1.1 200").count(), 2, "{text}");
    assert_eq!(site.stats().await["targets"], json!(["POST /echo", "GET /next", "GET /stats"]));
}
