//! Sockets: no file descriptors left, client hellos in single bytes, and the addresses that a listener occupies.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;

use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::figures::{admin, wait_metric, watch_for};
use crate::support::network::Network;
use crate::support::origin::Origin;
use crate::support::process::Process;
use crate::support::raw::Raw;
use crate::support::script::Answer;
use crate::support::server::{Rillgate, wait_listening};
use crate::support::setup::{Setup, both_protocols};
use crate::support::wait::{DEADLINE, eventually};

/// Returns the CPU time that the process has used.
fn processor_time(id: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[tokio::test]
async fn accepting_pauses_without_file_descriptors_and_resumes() {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rillgate.toml");
    // Without a reserve, connections take every descriptor that there is.
    let setup = Setup::for_origin(&origin.url()).server("workers = 1").limits("reserved_files = 0");
    std::fs::write(&path, setup.toml()).unwrap();
    let rillgate = Rillgate::command();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -Sn 48 && ulimit -Hn 64 && exec \"$0\" serve --config \"$1\""])
        .arg(rillgate.get_program())
        .arg(&path);
    shell.env("RILLGATE_LOG", "info").env("NO_COLOR", "1");
    let process = Process::start(&mut shell);
    let listening = wait_listening(&process, 2).await;
    let (address, admin) = (listening[0].address, listening[1].address);
    // The default limits are lowered without a warning, because they were not configured.
    let line = process.wait_line("the limit on open files bounds connections and streams", DEADLINE).await;
    assert!(line.contains("INFO") && line.contains("open_files=64"), "{line}");
    let mut first = Client::http1(address).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;

    let connections: Vec<_> = join_all((0..100).map(|_| TcpStream::connect(address))).await;
    process.wait_line("cannot accept", DEADLINE).await;
    let before = processor_time(process.id());
    watch_for(Duration::from_secs(1)).await;
    let used = processor_time(process.id()).saturating_sub(before);

    assert!(used < Duration::from_millis(500), "{used:?} in a second of waiting");
    origin.emit("id: 1\ndata: still\n\n");
    assert_eq!(first.next_event(DEADLINE).await.data, "still");
    drop(connections);
    assert_eq!(Client::http2(address).subscribe("/prices", &[]).await.status, 200);
    let said = process.log().iter().filter(|line| line.contains("cannot accept")).count();
    assert!(said < 10, "logged {said} times");
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let metrics = Raw::exchange(&Client::http1(admin), request).await;
    assert!(metrics.contains("\nprocess_max_fds 64\n"), "the soft limit was not raised to the hard limit");
    let waits = metrics.lines().find_map(|line| line.strip_prefix("rillgate_rate_waits_total{limit=\"open_files\"} "));
    assert!(waits.is_some_and(|waits| waits != "0"), "{waits:?}");
}

#[tokio::test]
async fn idle_connections_leave_descriptors_to_upstreams_and_the_admin_port() {
    let origin = Origin::start_with(|_| Answer::stream().then("data: reached\n\n")).await;
    let limited = ["sh", "-c", "ulimit -n 512; exec \"$@\"", "sh"];
    let setup = Setup::for_origin(&origin.url()).replay("start = \"oldest\"");
    let gateway = Rillgate::start_by(&limited, &setup.toml()).await;
    let mut held = Client::http2(gateway.address()).connect().await.unwrap();
    let _first = held.subscribe("/first", &[]).await;

    let idle = join_all((0..700).map(|_| TcpStream::connect(gateway.address()))).await;

    assert!(idle.iter().all(Result::is_ok), "the kernel's queue takes them");
    // One address has a part of what the files allow.
    wait_metric(&gateway, "shares_refused_total", &["room=\"connections\""], 300.0).await;
    assert_eq!(admin(&gateway, "/livez").await.0, 200);
    let mut second = held.subscribe("/second", &[]).await;
    assert_eq!(second.status, 200);
    assert_eq!(second.next_event(DEADLINE).await.data, "reached");
    drop(idle);
    let again = || async { Client::http1(gateway.address()).try_request("HEAD", "/first", &[]).await.is_ok() };
    eventually(DEADLINE, again).await;
}

#[tokio::test]
async fn configured_limits_above_the_file_limit_are_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rillgate.toml");
    let setup = Setup::for_origin("http://127.0.0.1:9").server("workers = 1");
    std::fs::write(&path, setup.limits("connections = 100\nstreams = 200").toml()).unwrap();
    let rillgate = Rillgate::command();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 256 && exec \"$0\" serve --config \"$1\""]).arg(rillgate.get_program()).arg(&path);
    shell.env("RILLGATE_LOG", "info").env("NO_COLOR", "1");
    let process = Process::start(&mut shell);

    let line =
        process.wait_line("limits.connections and limits.streams exceed the limit on open files", DEADLINE).await;

    assert!(line.contains("WARN"), "{line}");
    assert!(line.contains("open_files=256 asked=300 room=192"), "{line}");
}

#[tokio::test]
async fn a_client_hello_may_arrive_byte_by_byte() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).tls(&authority.server()).start().await;
    let network = Network::to(gateway.address()).await;
    network.slice(1);

    for client in [Client::http1(network.address()), Client::http2(network.address())] {
        let mut subscription = client.tls(&authority).subscribe("/prices?limit=1", &[]).await;
        assert_eq!(subscription.status, 200);
        origin.wait_open(1).await;
        origin.emit("data: x\n\n");
        assert_eq!(subscription.expect_end(DEADLINE).await.len(), 1);
    }
}

#[tokio::test]
async fn an_ipv6_wildcard_does_not_take_the_ipv4_port() {
    let origin = Origin::start().await;
    let anywhere = "address = \"127.0.0.1:0\"\n\n[upstreams";
    let toml = Setup::for_origin(&origin.url()).toml();
    assert!(toml.contains(anywhere));
    let toml = toml.replacen(anywhere, "address = \"[::]:0\"\n\n[upstreams", 1);
    let gateway = Rillgate::start(&toml).await;
    let port = gateway.address().port();

    for client in both_protocols(&gateway, None) {
        assert_eq!(client.subscribe("/prices", &[]).await.status, 200);
    }
    let ipv4: SocketAddr = ([127, 0, 0, 1], port).into();
    assert!(TcpStream::connect(ipv4).await.is_err());
    let _beside = tokio::net::TcpListener::bind(ipv4).await.expect("the port is free for IPv4");
}
