//! The number of requests to an upstream, and the responses of its clients, with `hold` and with `refuse`.
//!
//! | upstream | requests | clients that are held | clients that are refused |
//! |---|---|---|---|
//! | sends its head late | 1 | get a head at once, then every event | wait for the head, then get every event |
//! | sends its head with the first event | 1 | the same | the same |
//! | ends its responses, without ids | with growing delays | get each response's events | the same |
//! | vanishes without a FIN | 2, the second within a minute | get a gap or the events, then every event | the same |
//! | has a first address that drops packets | 1 | get every event | the same |

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join;
use tokio::time::Instant;

use crate::support::client::Client;
use crate::support::figures::{wait_lines, watch_for};
use crate::support::flood::BlackHole;
use crate::support::origin::{Emission, Origin};
use crate::support::script::{Answer, Cut};
use crate::support::server::Rillgate;
use crate::support::setup::{Setup, both_protocols};
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, within};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const EVENT: &str = "id: 1\ndata: one\n\n";

const BOTH: [&str; 2] = ["hold", "refuse"];

fn setup(origin: &Origin, when_down: &str) -> Setup {
    let delivery = format!("when_down = \"{when_down}\"\nanswer_within = \"50ms\"\nheartbeat = \"50ms\"");
    Setup::for_origin(&origin.url()).delivery(&delivery)
}

async fn subscribe(gateway: &Rillgate) -> [Subscription; 2] {
    let [first, second] = both_protocols(gateway, None);
    let (first, second) = join(first.subscribe("/a", &[]), second.subscribe("/a", &[])).await;
    [first, second]
}

async fn assert_next(subscriptions: &mut [Subscription], data: &str) {
    for subscription in subscriptions {
        assert_eq!(subscription.next_event(DEADLINE).await.data, data);
    }
}

#[tokio::test]
async fn a_late_upstream_head_is_requested_once() {
    for (when_down, later) in [("hold", EVENT), ("refuse", EVENT), ("hold", ""), ("refuse", "")] {
        let origin = Origin::start_with(|_| Answer::waiting()).await;
        let gateway = setup(&origin, when_down).start().await;
        // If there is no later part, the event comes with the head.
        let head = if later.is_empty() { format!("{HEAD}{EVENT}") } else { HEAD.to_owned() };
        let answer = async {
            origin.wait_open(1).await;
            // Longer than `answer_within`.
            watch_for(Duration::from_millis(300)).await;
            origin.emit(head);
        };

        let mut clients = match when_down {
            "hold" => {
                let clients = within(DEADLINE, "head before the upstream's", subscribe(&gateway)).await;
                answer.await;
                clients
            }
            _ => join(subscribe(&gateway), answer).await.0,
        };
        origin.emit(later);

        for client in &clients {
            let verdict = client.header("rillgate-resume");
            assert_eq!(client.status, 200, "{when_down}");
            assert_eq!(verdict == "pending", when_down == "hold", "{when_down}: {verdict}");
        }
        assert_next(&mut clients, "one").await;
        assert_eq!(origin.requests().len(), 1, "{when_down}");
    }
}

#[tokio::test]
async fn an_upstream_that_ends_without_ids_is_requested_with_backoff() {
    for when_down in BOTH {
        let origin = Origin::start_with(|_| Answer::stream().then("data: x\n\ndata: y\n\n").then_cut(Cut::End)).await;
        let backoff = "backoff = { initial = \"100ms\", max = \"10s\" }";
        let gateway = setup(&origin, when_down).upstream(backoff).start().await;
        let mut client = Client::http1(gateway.address()).subscribe("/a", &[]).await;

        watch_for(Duration::from_secs(4)).await;

        let requests = origin.requests().len();
        // Doubling delays allow about seven requests, constant ones eighty.
        assert!((2..=16).contains(&requests), "{when_down}: {requests} requests in 4 s");
        for _ in 1..requests {
            assert_eq!(client.next_event(DEADLINE).await.data, "x", "{when_down}");
            assert_eq!(client.next_event(DEADLINE).await.data, "y", "{when_down}");
        }
        wait_lines(&gateway, &["WARN", "on_end"], 1).await;
    }
}

#[tokio::test]
async fn a_vanished_upstream_is_reconnected_within_a_minute_without_loss() {
    let vanishing = async |when_down: &str| {
        let origin = Origin::start().await;
        origin.honour_last_event_id();
        let gateway = setup(&origin, when_down).start().await;
        let mut clients = subscribe(&gateway).await;
        origin.wait_open(1).await;
        origin.emit(Emission::event("1", "", "one"));
        assert_next(&mut clients, "one").await;

        origin.cut(Cut::Vanish);
        let vanished = Instant::now();
        origin.emit(Emission::event("2", "", "two"));
        within(Duration::from_secs(75), "second request", async {
            while origin.requests().len() < 2 {
                watch_for(Duration::from_millis(100)).await;
            }
        })
        .await;
        let noticed = vanished.elapsed();

        assert!(noticed <= Duration::from_secs(60), "{when_down}: noticed after {noticed:?}");
        assert_next(&mut clients, "two").await;
        assert_eq!(origin.requests()[1].last_event_id(), Some("1"));
        assert_eq!(origin.requests().len(), 2, "{when_down}");
    };

    join(vanishing(BOTH[0]), vanishing(BOTH[1])).await;
}

#[tokio::test]
async fn an_upstream_with_an_unresponsive_first_address_is_reached_at_the_next() {
    for when_down in BOTH {
        let (origin, hole, _hole) = loop {
            let origin = Origin::start().await;
            let hole = SocketAddr::from(([127, 0, 0, 3], origin.address().port()));
            // Another test may have that port for all addresses.
            if let Ok(socket) = BlackHole::at(hole) {
                break (origin, hole, socket);
            }
        };
        let name = format!("http://producer.test:{}", origin.address().port());
        let hosts = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&hosts, format!("{} producer.test\n{} producer.test\n", hole.ip(), origin.address().ip()))
            .unwrap();
        // The gateway runs in its own mount namespace, where the name has two addresses.
        let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.path().display());
        let by = ["unshare", "--map-root-user", "--mount", "sh", "-c", &script, "sh"];
        let config = setup(&origin, when_down).toml().replace(&origin.url(), &name);
        let gateway = Rillgate::start_by(&by, &config).await;

        let mut clients = subscribe(&gateway).await;
        origin.wait_open(1).await;
        origin.emit(EVENT);

        assert_next(&mut clients, "one").await;
        assert_eq!(origin.requests().len(), 1, "{when_down}");
    }
}
