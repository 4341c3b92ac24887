//! The admin port over TCP, as used by probes, scrapers and browsers.
#![expect(clippy::unwrap_used, reason = "a failed assumption in a test is a failed test")]

mod full_port;
mod open_stream;
mod revocations;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use open_stream::OpenStream;
use rillgate::admin::{Admin, AdminContext, Readiness};
use rillgate::auth::TrustStore;
use rillgate::runtime::panics::Panics;
use rillgate::runtime::workers::Workers;
use rillgate::telemetry::{Metrics, Protocol};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

struct Port {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    stream: OpenStream,
    trust: Arc<TrustStore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Port {
    fn open() -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = Self {
            address: listener.local_addr().unwrap(),
            metrics: Metrics::new("1.2.3"),
            readiness: Arc::new(Readiness::new()),
            stream: OpenStream::new(),
            trust: Arc::new(TrustStore::new(100)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let admin = Admin::new(AdminContext {
            version: "1.2.3",
            metrics: port.metrics.clone(),
            readiness: port.readiness.clone(),
            limits: port.stream.limits.clone(),
            streams: port.stream.streams.clone(),
            trust: port.trust.clone(),
            effective_config: Arc::new(ArcSwap::from_pointee(json!({ "routes": [] }))),
            panics: Panics::default(),
            hosts: Vec::new(),
            filter: None,
            cluster: None,
        });
        let (tasks, stop) = (port.tasks.clone(), port.stop.clone());
        port.tasks.spawn(async move {
            let spawn = move |_: &'static str, connection| drop(tasks.spawn(connection));
            admin.serve(listener, spawn, stop).await.unwrap();
        });
        port
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.tasks.spawn(async move { drop(connection.await) });
        sender.send_request(request).await.unwrap()
    }

    async fn ask(&self, method: Method, path: &str) -> (StatusCode, HeaderMap, String) {
        let request =
            Request::builder().method(method).uri(path).header("host", "admin").body(Full::default()).unwrap();
        read(self.send(request).await).await
    }

    async fn get(&self, path: &str) -> (StatusCode, HeaderMap, String) {
        self.ask(Method::GET, path).await
    }

    /// Opens the source of the status page with this query.
    async fn events(&self, query: &str) -> Incoming {
        let request = Request::get(format!("/events{query}")).header("host", "admin").body(Full::default()).unwrap();
        let response = self.send(request).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        response.into_body()
    }
}

async fn read(response: Response<Incoming>) -> (StatusCode, HeaderMap, String) {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn snapshot(body: &mut Incoming) -> Value {
    let frame = timeout(DEADLINE, body.frame()).await.unwrap().unwrap().unwrap();
    let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
    serde_json::from_str(text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap()).unwrap()
}

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_live_process_answers_livez() {
    let port = Port::open();

    let (status, headers, body) = port.get("/livez").await;

    assert_eq!((status, body.as_str()), (StatusCode::OK, "ok\n"));
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn readiness_names_the_failed_condition() {
    let port = Port::open();
    assert_eq!(port.get("/readyz").await.0, StatusCode::OK);

    port.readiness.set("issuer main", Err("no keys yet".into()));
    let (status, _, body) = port.get("/readyz").await;

    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, json!({ "status": "unready", "reasons": { "issuer main": "no keys yet" } }));
}

#[tokio::test]
async fn a_gateway_with_a_stuck_worker_is_not_ready_until_it_runs_again() {
    let port = Port::open();
    let (workers, _threads) = Workers::start(2).unwrap();
    port.readiness.observe_workers(workers.clone());
    let (release, released) = std::sync::mpsc::channel::<()>();
    workers.next().spawn(async move {
        let _ = released.recv();
    });

    let unready = async {
        loop {
            let (status, _, body) = port.get("/readyz").await;
            if status == StatusCode::SERVICE_UNAVAILABLE {
                return body;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let body: Value = serde_json::from_str(&timeout(2 * DEADLINE, unready).await.unwrap()).unwrap();
    let reason = body["reasons"]["workers"].as_str().unwrap();
    assert!(reason.starts_with("worker 0 has not run its timers for "), "{reason}");
    assert_eq!(port.get("/livez").await.0, StatusCode::OK, "it may come back");

    drop(release);
    let ready = async {
        while port.get("/readyz").await.0 != StatusCode::OK {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(DEADLINE, ready).await.unwrap();
    workers.stop();
}

#[tokio::test]
async fn a_draining_gateway_is_alive_and_not_ready() {
    let port = Port::open();

    port.readiness.drain();

    assert_eq!(port.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(port.get("/livez").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_scrape_returns_the_counters() {
    let port = Port::open();
    port.metrics.route("prices").subscribed(Protocol::Http2);

    let (status, headers, body) = port.get("/metrics").await;

    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(body.contains("rillgate_subscribers{route=\"prices\",protocol=\"h2\"} 1\n"), "{body}");
}

#[tokio::test]
async fn open_streams_are_listed_with_route_key_state_and_subscribers() {
    let port = Port::open();
    port.stream.connected().await;

    let (status, headers, body) = port.get("/streams").await;

    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"application/json".parse().unwrap()));
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["streams"].as_array().map(Vec::len), Some(1), "{body}");
    let stream = &body["streams"][0];
    let shown = (&stream["route"], &stream["key"], &stream["state"], &stream["subscribers"]);
    assert_eq!(shown, (&json!("prices"), &json!(open_stream::KEY), &json!("live"), &json!(1)));
}

#[tokio::test]
async fn the_effective_configuration_is_served_as_json() {
    let port = Port::open();

    let (status, headers, body) = port.get("/config").await;

    assert_eq!((status, body.as_str()), (StatusCode::OK, "{\"routes\":[]}"));
    assert_eq!(headers["content-type"], "application/json");
}

#[tokio::test]
async fn the_status_page_loads_nothing_from_elsewhere() {
    let port = Port::open();

    let (status, headers, page) = port.get("/").await;

    assert_eq!(status, StatusCode::OK);
    assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'self';"));
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<style"), "{page}");
    for (path, content_type) in
        [("page/status.css", "text/css; charset=utf-8"), ("page/status.js", "text/javascript; charset=utf-8")]
    {
        assert!(page.contains(path), "{path} is not used");
        let (status, headers, _) = port.get(&format!("/{path}")).await;
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (StatusCode::OK, content_type));
    }
}

#[tokio::test]
async fn the_status_page_is_fed_until_the_port_closes() {
    let port = Port::open();
    port.metrics.route("prices").gap("evicted");
    let mut body = port.events("").await;

    let first = snapshot(&mut body).await;
    port.metrics.route("prices").gap("unknown");
    let second = snapshot(&mut body).await;
    port.stop.cancel();
    let end = timeout(DEADLINE, async { while body.frame().await.transpose().unwrap().is_some() {} }).await;

    assert_eq!(first["version"], "1.2.3");
    assert_eq!(first["streams"][0]["key"], open_stream::KEY);
    assert_eq!((&first["routes"][1]["gaps"], &second["routes"][1]["gaps"]), (&json!(1), &json!(2)));
    assert!(end.is_ok(), "the response went on");
}

#[tokio::test]
async fn a_closed_port_leaves_no_task_behind() {
    let port = Port::open();
    let mut watching = port.events("").await;
    snapshot(&mut watching).await;
    let idle = TcpStream::connect(port.address).await.unwrap();
    port.get("/livez").await;

    port.stop.cancel();
    port.tasks.close();
    drop(watching);

    timeout(DEADLINE, port.tasks.wait()).await.expect("a connection outlives its port");
    drop(idle);
}

#[tokio::test]
async fn viewers_leave_room_for_probes() {
    let port = Port::open();
    let mut viewers = Vec::new();
    for _ in 0..16 {
        viewers.push(port.events("").await);
    }

    let (one_more, _, _) = port.get("/events").await;

    assert_eq!(one_more, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(port.get("/livez").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_viewer_that_disconnects_frees_its_place() {
    let port = Port::open();
    let mut viewers = Vec::new();
    for _ in 0..16 {
        viewers.push(port.events("").await);
    }

    viewers.pop();

    let entered = async {
        while port.ask(Method::HEAD, "/events").await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, entered).await.expect("the place of a viewer that left stays taken");
}

#[tokio::test]
async fn a_head_response_has_no_body() {
    let port = Port::open();

    for path in ["/", "/livez", "/readyz", "/metrics", "/streams", "/events"] {
        let (status, _, body) = port.ask(Method::HEAD, path).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, ""), "{path}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let port = Port::open();

    let (status, headers, body) = port.get("/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["status"], 404);

    let (status, headers, _) = port.ask(Method::POST, "/metrics").await;
    assert_eq!((status, headers["allow"].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
}

/// CWE-400: an endless head holds its connection for the header timeout and no longer.
#[tokio::test]
async fn an_endless_request_head_is_cut_off() {
    let port = Port::open();
    let mut stream = TcpStream::connect(port.address).await.unwrap();

    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: admin\r\n").await.unwrap();
    let mut answer = Vec::new();
    let closed = timeout(DEADLINE, stream.read_to_end(&mut answer)).await;

    assert!(closed.is_ok(), "the connection is still open");
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}
