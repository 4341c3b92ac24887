//! A reload that does not change which events a stream has: the open stream follows, and no client notices.

use std::sync::Arc;

use crate::support::client::{Client, Protocol};
use crate::support::figures::{metric, wait_metric};
use crate::support::origin::{Emission, Origin};
use crate::support::script::Cut;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually};

/// Replaces the configuration and waits until it is in force. `count` is the number of reloads with this one.
pub async fn reload(gateway: &Rillgate, config: &str, count: usize) {
    gateway.rewrite(config);
    gateway.signal("HUP");
    wait_metric(gateway, "config_reloads_total", &["result=\"ok\""], count as f64).await;
}

/// Subscribes 100 clients, half of them over each protocol.
pub async fn hundred_clients(gateway: &Rillgate) -> Vec<Subscription> {
    let mut clients = Vec::new();
    for number in 0..100 {
        let protocol = if number % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
        clients.push(Client::new(protocol, gateway.address()).subscribe("/prices", &[]).await);
        assert_eq!(clients[number].status, 200);
    }
    clients
}

/// Emits numbers until it is dropped.
pub struct Emitter {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<usize>,
}

impl Emitter {
    pub fn start(origin: &Arc<Origin>) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let origin = origin.clone();
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(std::time::Duration::from_millis(2));
            let mut last = 0;
            loop {
                tokio::select! {
                    _ = pace.tick() => {
                        last += 1;
                        origin.emit(Emission::event(&last.to_string(), "", "x"));
                    }
                    _ = &mut stopped => return last,
                }
            }
        });
        Self { stop, task }
    }

    /// Stops, and returns the number of the last event.
    pub async fn finish(self) -> usize {
        self.stop.send(()).expect("it emits until then");
        self.task.await.expect("no panic")
    }
}

/// Reads on in each client up to this event. There must be each event once, and no gap.
pub async fn assert_all_read(clients: &mut [Subscription], last: usize) {
    for client in clients {
        for number in 1..=last {
            assert_eq!(client.next_event(DEADLINE).await.last_event_id, number.to_string());
        }
        assert!(!client.comments().iter().any(|comment| comment.contains("gap")), "{:?}", client.comments());
    }
}

/// The settings of a route that change under its clients.
pub const CHANGES: [(&str, &str); 6] = [
    ("events = 100000", "linger = \"30s\""),
    ("events = 50000\nage = \"1h\"", "linger = \"30s\""),
    ("events = 200000\nbytes = \"64MiB\"", "linger = \"30s\""),
    ("events = 100000", "linger = \"1ms\""),
    ("events = 100000\nverdict = \"event\"", "linger = \"1m\""),
    ("events = 90000\nverdict = \"off\"", "linger = \"30s\""),
];

#[tokio::test]
async fn a_hundred_clients_do_not_notice_changed_retention_linger_and_verdicts() {
    let origin = Arc::new(Origin::start().await);
    let config = |(replay, delivery): (&str, &str)| Setup::for_origin(&origin.url()).replay(replay).delivery(delivery);
    let gateway = config(CHANGES[0]).start().await;
    let mut clients = hundred_clients(&gateway).await;
    origin.wait_open(1).await;
    let emitter = Emitter::start(&origin);

    for (count, change) in CHANGES.into_iter().enumerate().skip(1) {
        reload(&gateway, &config(change).toml(), count).await;
        let late = Client::http2(gateway.address()).subscribe("/prices", &[("last-event-id", "1")]).await;
        assert!(late.header("rillgate-resume").starts_with("resumed"), "{}", late.header("rillgate-resume"));
    }
    let last = emitter.finish().await;

    assert_all_read(&mut clients, last).await;
    assert_eq!((origin.connections().total, origin.connections().open), (1, 1));
    assert_eq!(metric(&gateway, "subscriptions_ended_total", &["reason=\"drain\""]).await, 0.0);
}

#[tokio::test]
async fn a_smaller_retention_evicts_at_once_and_a_larger_one_keeps_more_from_then_on() {
    let origin = Origin::start().await;
    let config = |events: usize| Setup::for_origin(&origin.url()).replay(&format!("events = {events}"));
    let gateway = config(100).start().await;
    let mut reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    let emit = |number: usize| origin.emit(Emission::event(&number.to_string(), "", "x"));
    (1..=20).for_each(emit);
    reader.next_events(20).await;

    reload(&gateway, &config(5).toml(), 1).await;
    wait_metric(&gateway, "event_log_events", &["route=\"all\""], 5.0).await;
    let late = Client::http2(gateway.address()).subscribe("/prices", &[("last-event-id", "3")]).await;
    assert_eq!(late.header("rillgate-resume"), "gap;reason=evicted");
    reload(&gateway, &config(50).toml(), 2).await;
    (21..=40).for_each(emit);
    reader.next_events(20).await;

    let late = Client::http2(gateway.address()).subscribe("/prices", &[("last-event-id", "16")]).await;
    assert_eq!(late.header("rillgate-resume"), "resumed;missed=24");
    assert_eq!(origin.connections().total, 1);
}

#[tokio::test]
async fn a_gap_is_told_in_the_new_form_to_clients_of_an_open_stream() {
    let origin = Origin::start().await;
    let config = |form: &str| {
        let upstream = "backoff = { initial = \"10ms\", max = \"10ms\" }";
        Setup::for_origin(&origin.url()).upstream(upstream).replay(&format!("verdict = \"{form}\""))
    };
    let gateway = config("comment").start().await;
    let mut client = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    origin.emit(Emission::event("1", "", "x"));
    client.next_event(DEADLINE).await;

    reload(&gateway, &config("event").toml(), 1).await;
    origin.cut(Cut::Fin);
    origin.wait_requests(2).await;
    origin.wait_open(1).await;
    origin.emit(Emission::event("2", "", "x"));

    let told = client.next_event(DEADLINE).await;
    assert_eq!(
        (told.kind.as_str(), told.data.as_str()),
        ("rillgate.resume", r#"{"resume":"gap","reason":"upstream"}"#)
    );
    assert_eq!(client.next_event(DEADLINE).await.last_event_id, "2");
}

#[tokio::test]
async fn a_shorter_linger_closes_a_stream_that_has_no_reader_already() {
    let origin = Origin::start().await;
    let config = |linger: &str| Setup::for_origin(&origin.url()).delivery(&format!("linger = \"{linger}\""));
    let gateway = config("1h").start().await;
    drop(Client::http1(gateway.address()).subscribe("/prices", &[]).await);
    eventually(DEADLINE, || async { metric(&gateway, "subscribers", &[]).await == 0.0 }).await;
    assert_eq!(origin.connections().open, 1);

    reload(&gateway, &config("1ms").toml(), 1).await;

    origin.wait_open(0).await;
}

#[tokio::test]
async fn a_replica_that_is_added_or_removed_is_no_new_stream() {
    let (origin, replica) = (Origin::start().await, Origin::start().await);
    let setup = Setup::for_origin(&origin.url());
    let (gateway, one) = (setup.start().await, setup.toml());
    let (first, both) = (format!("\"{}\"", origin.url()), format!("\"{}\", \"{}\"", origin.url(), replica.url()));
    let mut clients = hundred_clients(&gateway).await;

    reload(&gateway, &one.replace(&first, &both), 1).await;
    origin.emit(Emission::event("1", "", "x"));
    reload(&gateway, &one, 2).await;

    assert_all_read(&mut clients, 1).await;
    assert_eq!((origin.connections().total, replica.connections().total), (1, 0));
}

#[tokio::test]
async fn clients_of_a_renamed_route_move_to_its_stream_and_follow_its_settings() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url()).server("drain = { spread = \"10ms\" }").delivery("linger = \"1ms\"");
    let config = |name: &str, replay: &str| {
        setup.clone().replay(replay).toml().replace("name = \"all\"", &format!("name = \"{name}\""))
    };
    let gateway = Rillgate::start(&config("all", "events = 100")).await;
    let mut client = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    (1..=20).for_each(|number| origin.emit(Emission::event(&number.to_string(), "", "x")));
    client.next_events(20).await;

    reload(&gateway, &config("renamed", "events = 100"), 1).await;
    assert!(client.expect_end(DEADLINE).await.is_empty());
    let mut client = Client::http1(gateway.address()).subscribe("/prices", &[("last-event-id", "20")]).await;
    origin.wait_requests(2).await;
    origin.wait_open(1).await;
    (21..=40).for_each(|number| origin.emit(Emission::event(&number.to_string(), "", "x")));
    client.next_events(20).await;
    reload(&gateway, &config("renamed", "events = 5"), 2).await;

    wait_metric(&gateway, "event_log_events", &["route=\"renamed\""], 5.0).await;
}

#[tokio::test]
async fn clients_move_to_the_new_stream_if_ids_or_the_name_of_a_secret_header_change() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hunter2").unwrap();
    for (ids, header) in [("replace", "x-key"), ("keep", "x-token")] {
        let origin = Origin::start().await;
        let setup = Setup::for_origin(&origin.url()).server("drain = { spread = \"10ms\" }");
        let config = |ids: &str, header: &str| {
            let headers = format!("headers = {{ {header} = {{ file = \"{}\" }} }}", secret.display());
            setup.clone().upstream(&headers).replay(&format!("ids = \"{ids}\"")).toml()
        };
        let gateway = Rillgate::start(&config("keep", "x-key")).await;
        let mut client = Client::http1(gateway.address()).subscribe("/prices", &[]).await;

        reload(&gateway, &config(ids, header), 1).await;

        assert!(client.expect_end(DEADLINE).await.is_empty());
        assert!(client.retries().len() >= 2, "{ids} {header}: {:?}", client.retries());
        let _again = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
        origin.wait_requests(2).await;
    }
}
