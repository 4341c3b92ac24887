//! A second kind of upstream behind the gateway's own listener, routes and streams: files that are followed.
//!
//! It is an example of what another kind needs: one module that implements `Upstream` and `EventSource`, and a
//! configuration that makes it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod file_upstream;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use file_upstream::FileUpstream;
use rillgate::Gateway;
use rillgate::config::Config;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

/// A gateway in front of a folder. Ends with the test's runtime.
struct FileGateway {
    folder: TempDir,
    address: SocketAddr,
}

impl FileGateway {
    /// Starts a gateway whose route has these lines in `[routes.replay]`, in front of the file `prices` with the first
    /// events.
    async fn start(replay: &str, events: std::ops::RangeInclusive<u32>) -> Self {
        let folder = TempDir::new().unwrap();
        append(&folder.path().join("prices"), events);
        let toml = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[upstreams.files]\nurls = [\"http://127.0.0.1:9\"]\n\
             [[routes]]\nname = \"files\"\npath = \"/{{name}}\"\nupstream = \"files\"\nauth = \"public\"\n\
             [routes.replay]\n{replay}\n"
        );
        let mut config = Config::parse(&toml, Path::new("")).unwrap();
        let route = Arc::make_mut(&mut config.routes[0]);
        route.upstream = Arc::new(FileUpstream { folder: folder.path().to_owned() });
        route.stream.backoff = route.upstream.timing().backoff;
        let gateway = Gateway::bind(&config).unwrap();
        let address = gateway.addresses()[0];
        tokio::spawn(gateway.run(std::future::pending()));
        Self { folder, address }
    }

    fn append(&self, events: std::ops::RangeInclusive<u32>) {
        append(&self.folder.path().join("prices"), events);
    }

    async fn get(&self, path: &str, last_event_id: Option<u32>) -> Response {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let id = last_event_id.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{id}\r\n").as_bytes()).await.unwrap();
        Response { socket, text: String::new() }
    }
}

/// A response, as far as it has been read.
struct Response {
    socket: TcpStream,
    text: String,
}

impl Response {
    /// Reads until the response has this text.
    async fn read_until(&mut self, wanted: &str) -> &str {
        let reading = async {
            while !self.text.contains(wanted) {
                let mut piece = [0; 4096];
                let count = self.socket.read(&mut piece).await.unwrap();
                assert!(count > 0, "ended without {wanted:?}: {}", self.text);
                self.text += std::str::from_utf8(&piece[..count]).unwrap();
            }
        };
        assert!(timeout(DEADLINE, reading).await.is_ok(), "no {wanted:?} in time: {}", self.text);
        &self.text
    }

    /// Returns the numbers of the events so far.
    fn events(&self) -> Vec<u32> {
        let data = self.text.lines().filter_map(|line| line.strip_prefix("data: event "));
        data.map(|number| number.parse().unwrap()).collect()
    }
}

fn append(path: &Path, events: std::ops::RangeInclusive<u32>) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    let text: String = events.map(|number| format!("id: {number}\ndata: event {number}\n\n")).collect();
    file.write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn the_first_client_resumes_in_the_files_content_and_continues_live() {
    let gateway = FileGateway::start("", 1..=5).await;
    let mut client = gateway.get("/prices", Some(3)).await;
    client.read_until("rillgate-resume: resumed;missed=2").await;
    client.read_until("event 5\n").await;

    gateway.append(6..=7);

    client.read_until("event 7\n").await;
    assert_eq!(client.events(), [4, 5, 6, 7]);
}

#[tokio::test]
async fn a_client_without_an_id_starts_live_or_at_the_oldest_event() {
    for (replay, verdict, events) in [
        ("", "rillgate-resume: live", vec![6]),
        ("start = \"oldest\"", "rillgate-resume: replay;missed=5", vec![1, 2, 3, 4, 5, 6]),
    ] {
        let gateway = FileGateway::start(replay, 1..=5).await;
        let mut client = gateway.get("/prices", None).await;
        client.read_until(verdict).await;

        gateway.append(6..=6);

        client.read_until("event 6\n").await;
        assert_eq!(client.events(), events, "{replay}");
    }
}

#[tokio::test]
async fn a_truncated_or_rotated_file_is_a_gap_and_then_followed() {
    for is_rotated in [false, true] {
        let gateway = FileGateway::start("", 1..=5).await;
        let mut client = gateway.get("/prices", Some(5)).await;
        client.read_until("rillgate-resume: resumed;missed=0").await;
        let path = gateway.folder.path().join("prices");

        if is_rotated {
            fs::rename(&path, gateway.folder.path().join("prices.1")).unwrap();
        } else {
            fs::write(&path, "").unwrap();
        }
        gateway.append(10..=11);
        client.read_until("event 11\n").await;
        gateway.append(12..=12);
        client.read_until("event 12\n").await;

        assert_eq!(client.events(), [10, 11, 12], "rotated: {is_rotated}");
        let (before, _) = client.text.split_once("event 10").unwrap();
        assert!(before.contains(": rillgate-resume: gap;reason=upstream"), "rotated: {is_rotated}: {before}");
        let mut late = gateway.get("/prices", Some(5)).await;
        late.read_until("rillgate-resume: gap;reason=upstream").await;
    }
}

#[tokio::test]
async fn an_id_older_than_the_log_is_read_from_the_file() {
    let gateway = FileGateway::start("events = 2\nread_through = true", 1..=9).await;
    let mut first = gateway.get("/prices", None).await;
    first.read_until("rillgate-resume: live").await;

    let mut client = gateway.get("/prices", Some(2)).await;

    client.read_until("rillgate-resume: resumed;missed=7").await;
    client.read_until("event 9\n").await;
    assert_eq!(client.events(), [3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_missing_file_is_a_missing_stream() {
    let gateway = FileGateway::start("", 1..=1).await;

    let mut client = gateway.get("/nothing", None).await;

    client.read_until("upstream_not_found").await;
    assert!(client.text.starts_with("HTTP/1.1 404 "), "{}", client.text);
}

#[tokio::test]
async fn a_folder_is_answered_with_something_that_is_no_stream() {
    let gateway = FileGateway::start("", 1..=1).await;
    fs::create_dir(gateway.folder.path().join("archive")).unwrap();

    let mut client = gateway.get("/archive", None).await;

    client.read_until("upstream_wrong").await;
    assert!(client.text.starts_with("HTTP/1.1 502 "), "{}", client.text);
}
