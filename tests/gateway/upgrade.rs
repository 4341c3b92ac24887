//! An upgrade while clients connect, stay and disconnect. No connection is refused, and clients that move resume.
//!
//! Both ways are tested: two sockets at one address (`SO_REUSEPORT`), and one socket that systemd passes to both
//! gateways.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::support::certificates::Authority;
use crate::support::client::{Client, Protocol};
use crate::support::figures::{metric, wait_metric};
use crate::support::origin::{Emission, Origin};
use crate::support::process::Process;
use crate::support::raw::{Raw, status};
use crate::support::server::{Rillgate, wait_listening};
use crate::support::setup::Setup;
use crate::support::subscription::{Ending, Subscription};
use crate::support::wait::{DEADLINE, eventually};

/// The number of clients that stay connected, and of clients that connect again and again.
const STAYING: usize = 200;
const COMING: usize = 80;

/// A stream that a gateway opens at its start, so that its log has what clients read from the other gateway.
const STREAM: &str = "/news/today";

/// A running gateway and its folder.
struct Started {
    process: Process,
    address: SocketAddr,
    _folder: TempDir,
}

async fn start(toml: &str, passed: Option<&TcpListener>, expected: usize) -> Started {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rillgate.toml");
    std::fs::write(&path, toml).unwrap();
    let process = match passed {
        None => Process::start(Rillgate::command().args(["serve", "--config"]).arg(&path)),
        Some(socket) => {
            let rillgate = Rillgate::command();
            // systemd passes the socket as descriptor 3 and sets these variables.
            let mut shell = Command::new("sh");
            shell.args([
                "-c",
                "exec 3<&0 < /dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=public exec \"$0\" \"$@\"",
            ]);
            shell.arg(rillgate.get_program()).args(["serve", "--config"]).arg(&path).env("RILLGATE_LOG", "debug");
            let socket = OwnedFd::from(socket.try_clone().unwrap());
            Process::start_with_input(&mut shell, Stdio::from(socket))
        }
    };
    let address = wait_listening(&process, expected).await[0].address;
    Started { process, address, _folder: folder }
}

fn setup(origin: &Origin) -> Setup {
    let always = format!(
        "[[routes]]\nname = \"always\"\npath = \"{STREAM}\"\nupstream = \"origin\"\nauth = \"public\"\nopen = \"always\""
    );
    Setup::for_origin(&origin.url())
        .server("drain = { notice = \"0s\", spread = \"1s\", deadline = \"15s\" }")
        .limits("connections_per_ip = 10000\nsubscriptions_per_ip = 10000")
        .after(&always)
}

/// Returns the configuration with another address of its listener.
fn listening_at(toml: &str, place: &str) -> String {
    let anywhere = "name = \"public\"\naddress = \"127.0.0.1:0\"";
    assert!(toml.contains(anywhere));
    toml.replacen(anywhere, &format!("name = \"public\"\n{place}"), 1)
}

/// Clients that connect, send a request and disconnect in a loop.
struct Load {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(clients: &[Client]) -> Self {
        let mut load =
            Self { stop: Arc::default(), rounds: Arc::default(), failures: Arc::default(), tasks: Vec::new() };
        for client in clients {
            let (client, stop) = (client.clone(), load.stop.clone());
            let (rounds, failures) = (load.rounds.clone(), load.failures.clone());
            load.tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match request_once(&client).await {
                        Ok(()) => rounds.fetch_add(1, Ordering::Relaxed),
                        Err(failure) => {
                            failures.lock().push(failure);
                            0
                        }
                    };
                    // The pause leaves CPU time for the other tests.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }));
        }
        load
    }

    fn rounds(&self) -> usize {
        self.rounds.load(Ordering::Relaxed)
    }

    async fn finish(self) {
        let more = self.rounds() + self.tasks.len();
        eventually(DEADLINE, || async { self.rounds() > more }).await;
        self.stop.store(true, Ordering::Relaxed);
        join_all(self.tasks).await;
        let failures = self.failures.lock();
        let rounds = self.rounds.load(Ordering::Relaxed);
        assert!(failures.is_empty(), "{} of {rounds}: {:#?}", failures.len(), &failures[..failures.len().min(10)]);
    }
}

async fn request_once(client: &Client) -> Result<(), String> {
    let mut connection = client.connect().await.map_err(|error| format!("connect: {error}"))?;
    let path = format!("{STREAM}?follow=false");
    let response = connection.try_request("GET", &path, &[]).await;
    let mut response = response.map_err(|error| format!("request: {error:?}"))?;
    if response.status != 200 {
        let status = response.status;
        return Err(format!("status {status}: {}", response.text().await));
    }
    match response.ending(DEADLINE).await {
        Ending::Clean => Ok(()),
        Ending::Broken(why) => Err(format!("cut: {why}")),
    }
}

fn emit(origin: &Origin, numbers: std::ops::RangeInclusive<usize>) {
    for number in numbers {
        origin.emit(Emission::event(&number.to_string(), "", &number.to_string()));
    }
}

/// Upgrades from `old` to the gateway that `next` starts, under load, and asserts that nothing is lost.
async fn upgrade<F: Future<Output = Started>>(
    origin: &Origin,
    old: Started,
    authority: Option<&Authority>,
    next: impl FnOnce() -> F,
) {
    let client = |number: usize| {
        let protocol = if number.is_multiple_of(2) { Protocol::Http1 } else { Protocol::Http2 };
        let client = Client::new(protocol, old.address);
        authority.map_or(client.clone(), |authority| client.tls(authority))
    };
    let clients: Vec<Client> = (0..STAYING).map(client).collect();
    let mut subscriptions: Vec<Subscription> =
        join_all(clients.iter().map(|client| client.subscribe(STREAM, &[]))).await;
    origin.wait_open(1).await;
    emit(origin, 1..=10);
    let load = Load::start(&clients[..COMING]);

    let new = next().await;
    origin.wait_open(2).await;
    emit(origin, 11..=20);
    for subscription in &mut subscriptions {
        subscription.next_events(20).await;
    }
    let before = load.rounds();
    eventually(DEADLINE, || async { load.rounds() > before + COMING }).await;
    old.process.signal("TERM");
    emit(origin, 21..=25);

    let ended = join_all(subscriptions.iter_mut().map(|subscription| subscription.expect_end(DEADLINE))).await;
    emit(origin, 26..=30);
    let moved = join_all(clients.iter().zip(&subscriptions).zip(ended).map(|((client, left), ended)| async move {
        let id = left.last_event_id().to_owned();
        let mut subscription = client.subscribe(STREAM, &[("last-event-id", &id)]).await;
        let verdict = subscription.header("rillgate-resume").to_owned();
        assert!(verdict.starts_with("resumed"), "after {id}: {verdict}");
        let last: usize = id.parse().unwrap();
        let events = subscription.next_events(30 - last).await;
        ended.into_iter().chain(events).map(|event| event.data.parse().unwrap()).collect::<Vec<usize>>()
    }))
    .await;

    for events in moved {
        assert_eq!(events, (21..=30).collect::<Vec<_>>(), "an event was lost or repeated");
    }
    assert!(old.process.wait_exit(DEADLINE).await.success());
    load.finish().await;
    assert_eq!(new.process.exit_status(), None);
}

#[tokio::test]
async fn a_reuse_port_upgrade_refuses_no_connection() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let toml = setup(&origin).listener("reuse_port = true").tls(&authority.server()).toml();
    let old = start(&toml, None, 2).await;
    let address = old.address;

    upgrade(&origin, old, Some(&authority), || async move {
        start(&listening_at(&toml, &format!("address = \"{address}\"")), None, 2).await
    })
    .await;
}

#[tokio::test]
async fn a_systemd_socket_upgrade_refuses_no_connection() {
    let origin = Origin::start().await;
    let toml = listening_at(&setup(&origin).toml(), "systemd = \"public\"");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let old = start(&toml, Some(&socket), 2).await;
    assert_eq!(old.address, socket.local_addr().unwrap());

    upgrade(&origin, old, None, || async { start(&toml, Some(&socket), 2).await }).await;
}

#[tokio::test]
async fn a_gateway_starts_while_the_old_one_holds_the_admin_port() {
    let origin = Origin::start().await;
    let old = setup(&origin).listener("reuse_port = true").start().await;
    let toml = setup(&origin).listener("reuse_port = true").toml();
    let toml =
        toml.replacen("[admin]\naddress = \"127.0.0.1:0\"", &format!("[admin]\naddress = \"{}\"", old.admin()), 1);

    let new = start(&listening_at(&toml, &format!("address = \"{}\"", old.address())), None, 1).await;
    new.process.wait_line("the admin port is in use by another process", DEADLINE).await;
    old.signal("TERM");

    assert!(old.wait_exit(DEADLINE).await.success());
    let listening = wait_listening(&new.process, 2).await;
    assert_eq!(listening[1].address, old.admin());
}

#[tokio::test]
async fn a_request_on_an_earlier_connection_is_answered_during_a_handover() {
    let origin = Origin::start().await;
    let server = "drain = { notice = \"0s\", spread = \"0s\", deadline = \"15s\" }";
    let gateway = Setup::for_origin(&origin.url()).server(server).listener("reuse_port = true").start().await;
    let client = Client::http1(gateway.address());
    let mut first = client.subscribe("/prices", &[]).await;
    let before = metric(&gateway, "connections_total", &[]).await;
    let mut late = Raw::dial(&client).await;
    wait_metric(&gateway, "connections_total", &[], before + 1.0).await;

    gateway.signal("TERM");
    first.expect_end(DEADLINE).await;
    late.send(b"GET /prices HTTP/1.1\r\nhost: localhost\r\n\r\n").await;

    let text = late.read_to_end(DEADLINE).await;
    assert_eq!(status(&text), 200, "{text}");
    assert!(text.contains("retry: ") && text.ends_with("0\r\n\r\n"), "not a stream that ends with a retry: {text:?}");
    assert!(gateway.wait_exit(DEADLINE).await.success());
}

#[tokio::test]
async fn a_missing_systemd_socket_is_named_in_the_error() {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rillgate.toml");
    std::fs::write(&path, listening_at(&setup(&origin).toml(), "systemd = \"other\"")).unwrap();

    let output = Rillgate::command().args(["serve", "--config"]).arg(&path).output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("socket \"other\" of systemd"), "{said}");
}

#[tokio::test]
async fn connections_queued_at_the_old_gateway_are_answered() {
    let origin = Origin::start().await;
    // Accepting is so slow that connections are still queued at the shutdown.
    let toml = setup(&origin).listener("reuse_port = true").limits("accepts_per_second = 20").toml();
    let old = start(&toml, None, 2).await;
    let at_the_same = listening_at(&toml, &format!("address = \"{}\"", old.address));
    let _new = start(&at_the_same, None, 2).await;
    origin.wait_open(2).await;

    // While the old gateway is stopped, the kernel still queues about half of the connections for it.
    old.process.signal("STOP");
    let mut waiting = Vec::new();
    for _ in 0..60 {
        let mut raw = Raw::dial(&Client::http1(old.address)).await;
        let request = format!("GET {STREAM}?follow=false HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        raw.send(request.as_bytes()).await;
        waiting.push(raw);
    }
    old.process.signal("TERM");
    old.process.signal("CONT");

    for raw in &mut waiting {
        let text = raw.read_to_end(DEADLINE).await;
        assert_eq!(status(&text), 200, "{text:?}");
    }
    assert!(old.process.wait_exit(DEADLINE).await.success());
}
