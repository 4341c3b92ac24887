//! A gateway whose tasks panic, once each: a log subscriber panics at a chosen line, because every task logs one.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run tasks of their own, and a failed assumption is a failed test"
)]

use std::fmt::{Debug, Write as _};
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rillgate::config::Config;
use rillgate::{Gateway, Handle};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

const DEADLINE: Duration = Duration::from_secs(20);

/// Panics once at a line that contains all words of a panic point.
struct PanickingSubscriber;

static PANIC_POINTS: Mutex<Vec<Vec<String>>> = Mutex::new(Vec::new());

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for PanickingSubscriber {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let point = {
            let mut points = PANIC_POINTS.lock().unwrap();
            let found = points.iter().position(|words| words.iter().all(|word| line.0.contains(word)));
            found.map(|at| points.remove(at))
        };
        assert!(point.is_none(), "for the test");
    }
}

fn panic_at(words: &[&str]) {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| tracing_subscriber::registry().with(PanickingSubscriber).init());
    PANIC_POINTS.lock().unwrap().push(words.iter().map(|&word| word.to_owned()).collect());
}

struct TestGateway {
    folder: TempDir,
    address: SocketAddr,
    admin: SocketAddr,
    handle: Handle,
}

impl TestGateway {
    /// Opens a gateway with one route of this name, path `/NAME/{key}` and a store on disk.
    async fn open(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("revocations.toml"), "").unwrap();
        let toml = format!(
            "[store]\npath = \"{store}\"\n[revocations]\nfile = \"revocations.toml\"\n[admin]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             [upstreams.producer]\nurls = [\"http://{producer}\"]\n[[routes]]\nname = \"{name}\"\npath = \"/{name}/{{key}}\"\n\
             upstream = \"producer\"\nauth = \"public\"\n[routes.replay]\nstore = \"disk\"\nstart = \"oldest\"\n",
            store = folder.path().join(name).display(),
            producer = produce().await,
        );
        let file = folder.path().join("rillgate.toml");
        std::fs::write(&file, toml).unwrap();
        let gateway = Gateway::bind(&Config::load(&file).unwrap()).unwrap();
        let (address, admin) = (gateway.addresses()[0], gateway.admin_address().unwrap());
        let handle = gateway.handle();
        tokio::spawn(gateway.run(std::future::pending()));
        Self { folder, address, admin, handle }
    }

    /// Sends a request, reads until `wanted` or the end, and disconnects.
    async fn ask(&self, path: &str, wanted: &str) -> String {
        exchange(self.address, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"), wanted).await
    }

    async fn reads(&self, path: &str) -> bool {
        self.ask(path, "data: hello").await.contains("data: hello")
    }

    /// Sends a request to the admin port and reads the whole answer.
    async fn administer(&self, method: &str, path: &str, body: &str) -> String {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        exchange(self.admin, &format!("{head}content-length: {length}\r\n\r\n{body}"), "\0").await
    }

    async fn panicked(&self, task: &str, times: u64) {
        let wanted = format!("rillgate_task_panics_total{{task=\"{task}\"}} {times}\n");
        let end = Instant::now() + DEADLINE;
        loop {
            let metrics = self.handle.metrics().render();
            if metrics.contains(&wanted) {
                return;
            }
            assert!(Instant::now() < end, "no {wanted}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Sends a request, reads until `wanted` or the end, and disconnects.
async fn exchange(address: SocketAddr, request: &str, wanted: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    let mut piece = [0; 1024];
    let end = Instant::now() + DEADLINE;
    while !said.contains(wanted) {
        let count = timeout_at(end, tcp.read(&mut piece)).await.expect("an answer in time").unwrap_or(0);
        if count == 0 {
            break;
        }
        said += std::str::from_utf8(&piece[..count]).unwrap();
    }
    said
}

/// A producer that sends one event.
async fn produce() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nid: 1\ndata: hello\n\n";
                tcp.write_all(head).await.unwrap();
                let _ = tcp.read_to_end(&mut Vec::new()).await;
                std::future::pending::<()>().await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_request_or_writer_ends_only_its_own_client() {
    let fixture = TestGateway::open("clients").await;
    panic_at(&["answered", "/nothing/request"]);

    assert_eq!(fixture.ask("/nothing/request", "404").await, "", "the connection ends without an answer");

    fixture.panicked("request", 1).await;
    assert!(fixture.ask("/nothing/request", "404").await.contains("404"));

    panic_at(&["subscription ended", "/clients/writer"]);
    assert!(fixture.ask("/clients/writer?follow=true", "rillgate-resume").await.contains("200 OK"));
    fixture.panicked("writer", 1).await;
    assert!(fixture.reads("/clients/writer").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_store_is_opened_again() {
    panic_at(&["store in use", "/stored"]);

    let fixture = TestGateway::open("stored").await;

    fixture.panicked("store", 1).await;

    let end = Instant::now() + DEADLINE;
    while !fixture.handle.metrics().render().contains("rillgate_store_state 1\n") {
        assert!(Instant::now() < end, "the store is not in use again");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(fixture.reads("/stored/a").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_revocation_refresh_restarts_after_each_panic() {
    let fixture = TestGateway::open("kept").await;
    let file = fixture.folder.path().join("revocations.toml");
    panic_at(&["revocations loaded", "entries=1"]);

    std::fs::write(&file, "[[revocations]]\nsub = \"mallory\"\nuntil = 2099-01-01T00:00:00Z\n").unwrap();
    fixture.panicked("keeper", 1).await;
    panic_at(&["revocations loaded", "entries=2"]);
    let two = "[[revocations]]\nsub = \"mallory\"\nuntil = 2099-01-01T00:00:00Z\n[[revocations]]\njti = \"7\"\nuntil = 2099-01-01T00:00:00Z\n";
    std::fs::write(&file, two).unwrap();

    // Only a restarted task can panic again.
    fixture.panicked("keeper", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_admin_port_is_answered_with_500_and_the_port_serves_on() {
    let fixture = TestGateway::open("administered").await;
    panic_at(&["revocation added"]);
    panic_at(&["revocation removed"]);

    let added = fixture.administer("POST", "/revocations", "{\"jti\":\"1\"}").await;
    assert!(added.starts_with("HTTP/1.1 500 "), "{added}");
    let added = fixture.administer("POST", "/revocations", "{\"jti\":\"1\"}").await;
    let (_, id) = added.split_once("\"id\":\"").expect("the id of the revocation");
    let entry = format!("/revocations/{}", &id[..64]);
    let removed = fixture.administer("DELETE", &entry, "").await;
    assert!(removed.starts_with("HTTP/1.1 500 "), "{removed}");

    fixture.panicked("admin", 2).await;
    // The entry was removed before the line was logged.
    let again = fixture.administer("DELETE", &entry, "").await;
    assert!(again.starts_with("HTTP/1.1 404 "), "{again}");
}
