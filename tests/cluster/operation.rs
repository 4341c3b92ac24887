//! A cluster as its operator sees it: readiness, streams, metrics, and what the commands print.

use crate::gateways::{KEY, answer, configuration, json, only_stream, owner, several, start, start_unready};
use crate::support::client::Client;
use crate::support::figures::wait_metric;
use crate::support::nats::NatsServer;
use crate::support::origin::{Emission, Origin};
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn gateways_share_one_upstream_connection_and_tell_who_has_it() {
    let (engine, origin) = (NatsServer::start().await, Origin::start().await);
    let gateways = several(3, &engine, &origin, "").await;
    let mut readers = Vec::new();
    for gateway in &gateways {
        readers.push(Client::http1(gateway.address()).subscribe("/prices", &[]).await);
    }

    let owning = owner(&gateways).await;
    origin.emit(Emission::event("1", "price", "42"));
    for reader in &mut readers {
        assert_eq!(reader.next_event(DEADLINE).await.data, "42");
    }

    assert_eq!(origin.requests().len(), 1, "one connection for three gateways");
    let streams = [only_stream(&gateways[0]).await, only_stream(&gateways[1]).await, only_stream(&gateways[2]).await];
    assert!(streams.iter().all(|stream| stream["owner"] == streams[owning]["owner"] && stream["term"] == 1));
    // Gauges are set once a second.
    for line in [
        "rillgate_cluster_connected 1",
        "rillgate_cluster_streams{route=\"all\",role=\"own\"} 1",
        "rillgate_cluster_claims_total{route=\"all\",result=\"won\"} 1",
    ] {
        let is_told = || async { answer(&gateways[owning], "/metrics").await.1.lines().any(|other| other == line) };
        eventually(DEADLINE, is_told).await;
    }
    let (_, metrics) = answer(&gateways[owning], "/metrics").await;
    assert!(metrics.contains("rillgate_cluster_commit_seconds_count{route=\"all\"}"), "{metrics}");
}

#[tokio::test]
async fn a_gateway_is_ready_once_it_has_reached_the_engine_and_stays_so_while_it_is_away() {
    let (engine, origin) = (NatsServer::start().await, Origin::start().await);
    let gateway = start(&configuration(&[engine.url()], &origin, "", "")).await;
    eventually(DEADLINE, || async { answer(&gateway, "/readyz?cluster").await.0 == 200 }).await;

    engine.kill();
    eventually(DEADLINE, || async { answer(&gateway, "/readyz?cluster").await.0 == 503 }).await;

    let (status, body) = answer(&gateway, "/readyz").await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("the engine is away"), "{body}");
    let (_, metrics) = answer(&gateway, "/metrics").await;
    assert!(metrics.contains("rillgate_cluster_connected 0"), "{metrics}");
    engine.restart();
    eventually(DEADLINE, || async { answer(&gateway, "/readyz?cluster").await.0 == 200 }).await;
}

#[tokio::test]
async fn a_gateway_is_not_ready_before_it_has_reached_the_engine() {
    let (engine, origin) = (NatsServer::start().await, Origin::start().await);
    engine.kill();

    let gateway = start_unready(&configuration(&[engine.url()], &origin, "", "")).await;

    let (status, body) = answer(&gateway, "/readyz").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("not loaded yet"), "{body}");
    engine.restart();
    eventually(DEADLINE, || async { answer(&gateway, "/readyz").await.0 == 200 }).await;
}

#[tokio::test]
async fn a_draining_owner_hands_over_and_a_killed_one_is_replaced() {
    let (engine, origin) = (NatsServer::start().await, Origin::start().await);
    origin.honour_last_event_id();
    let mut gateways = several(3, &engine, &origin, "").await;
    let client = |gateway: &Rillgate| Client::http1(gateway.address());
    let mut readers = Vec::new();
    for gateway in &gateways {
        readers.push(client(gateway).subscribe("/prices", &[]).await);
    }
    let first = owner(&gateways).await;
    origin.emit(Emission::event("1", "price", "1"));
    for reader in &mut readers {
        assert_eq!(reader.next_event(DEADLINE).await.data, "1");
    }

    let drained = gateways.remove(first);
    readers.remove(first);
    drained.signal("TERM");
    let second = owner(&gateways).await;
    origin.emit(Emission::event("2", "price", "2"));
    for reader in &mut readers {
        assert_eq!(reader.next_event(DEADLINE).await.data, "2");
    }
    drained.wait_exit(DEADLINE).await;

    let killed = gateways.remove(second);
    readers.remove(second);
    killed.kill().await;
    owner(&gateways).await;
    origin.emit(Emission::event("3", "price", "3"));
    assert_eq!(readers[0].next_event(DEADLINE).await.data, "3");
    assert_eq!(only_stream(&gateways[0]).await["term"], 3);
}

#[tokio::test]
async fn a_gateway_alone_says_so() {
    let origin = Origin::start().await;
    let config = configuration(&["nats://127.0.0.1:1".to_owned()], &origin, "", "");
    let alone = config.replace("replay.store = \"cluster\"", "").replace("[cluster]", "[ignored]");
    let alone = alone.lines().skip_while(|line| !line.contains("[upstreams")).collect::<Vec<_>>().join("\n");
    let head = "[admin]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";
    let gateway = start_unready(&format!("{head}{alone}")).await;

    let _reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;

    assert_eq!(only_stream(&gateway).await["role"], "alone");
    assert!(json(&gateway, "/streams").await["streams"][0]["owner"].is_null());
    assert!(!answer(&gateway, "/metrics").await.1.contains("rillgate_cluster_"));
}

/// Runs a command with the configuration of a gateway. Returns the exit status and what it printed.
pub async fn command(gateway: &Rillgate, arguments: &[&str]) -> (i32, String) {
    let mut command = Rillgate::command();
    command.args(arguments).arg("--config").arg(gateway.folder().join("rillgate.toml")).env(KEY.0, KEY.1);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code().unwrap(), text)
}

#[tokio::test]
async fn the_commands_show_the_gateways_and_what_is_reached() {
    let (engine, origin) = (NatsServer::start().await, Origin::start().await);
    let gateways = several(2, &engine, &origin, "").await;
    let _reader = Client::http1(gateways[0].address()).subscribe("/prices", &[]).await;
    eventually(DEADLINE, || async { only_stream(&gateways[0]).await["role"] == "own" }).await;

    let status = || command(&gateways[0], &["cluster", "status"]);
    eventually(DEADLINE, || async {
        status().await.1.lines().any(|line| line.ends_with(" ago       1        0       0"))
    })
    .await;
    let (code, text) = status().await;
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("cluster rillgate\nengine  n1 2."), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains(" ago ")).count(), 2, "{text}");
    assert!(text.contains("rillgate-log: 1 subjects"), "{text}");

    let (code, text) = command(&gateways[0], &["check", "--connect"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&format!("connect: upstream origin: {}: reached", origin.url())), "{text}");
    assert!(text.contains(&format!("connect: cluster rillgate: {}: connected to n1 2.", engine.url())), "{text}");

    engine.kill();
    let (code, text) = command(&gateways[0], &["check", "--connect"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(": FAILED: no connection to the engine"), "{text}");
    assert!(text.contains("1 of 2 were not reached"), "{text}");
}

#[tokio::test]
async fn a_reload_moves_streams_to_the_cluster_and_back_when_they_are_opened_next() {
    let (engine, origin) = (NatsServer::start().await, Origin::start().await);
    let shared = configuration(&[engine.url()], &origin, "", "delivery.linger = \"0s\"");
    let alone = shared.replace("replay.store = \"cluster\"", "");
    let gateway = start(&alone).await;
    let role = async || only_stream(&gateway).await["role"].clone();
    let is_closed = || async { only_stream(&gateway).await.is_null() };
    let mut before = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    assert_eq!(role().await, "alone");

    for (count, (config, expected)) in [(&shared, "own"), (&alone, "alone")].into_iter().enumerate() {
        let id = (count + 1).to_string();
        gateway.rewrite(config);
        gateway.signal("HUP");
        wait_metric(&gateway, "config_reloads_total", &["result=\"ok\""], (count + 1) as f64).await;
        assert_ne!(role().await, expected, "an open stream keeps its store");
        origin.emit(Emission::event(&id, "price", &id));
        assert_eq!(before.next_event(DEADLINE).await.data, id);

        drop(before);
        eventually(DEADLINE, is_closed).await;
        before = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
        eventually(DEADLINE, || async { role().await == expected }).await;
    }
}
