//! Bursts of requests on one connection: the worker's timers run in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{Request, Response};
use http_body_util::Empty;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::fixture_tests::SingleWorkerListener;
use super::*;
use crate::runtime::panics::Panics;
use crate::runtime::tasks::Tasks;

const DEADLINE: Duration = Duration::from_secs(60);

/// A turn of 2 ms has some three requests of 1 ms. A connection without turns has at least 200.
const MAX_REQUESTS: usize = 30;

/// The path of a request that is never answered. Dropping it takes 1 ms.
const HELD: &str = "/held";

/// The path of a request that keeps the worker busy for longer.
const LONG: &str = "/long";

/// Long enough for other connections to send their requests meanwhile.
const LONG_TIME: Duration = Duration::from_millis(300);

impl ResponseBody for Empty<Bytes> {
    fn poll_deadline(&mut self, _: &mut Context<'_>, _: bool, _: Duration) -> Poll<()> {
        Poll::Pending
    }

    fn on_panic(&mut self) {}
}

/// A listener whose requests keep the worker busy for 1 ms each, and a timer on the same worker.
struct BusyListener {
    listener: SingleWorkerListener,
    /// The requests that were answered or dropped.
    answered: Arc<AtomicUsize>,
    /// The most requests that were answered while the timer, of 1 ms, waited to be polled.
    longest_wait: Arc<AtomicUsize>,
}

impl BusyListener {
    fn start() -> Self {
        let (answered, longest_wait) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counted = answered.clone();
        let service = move |request: IncomingRequest| -> BoxFuture<'static, Response<Empty<Bytes>>> {
            let counted = counted.clone();
            if request.head.uri.path() == HELD {
                let held = HeldRequest(counted);
                return Box::pin(async move {
                    let _held = held;
                    std::future::pending().await
                });
            }
            Box::pin(async move {
                work(if request.head.uri.path() == LONG { LONG_TIME } else { Duration::from_millis(1) });
                counted.fetch_add(1, Ordering::Relaxed);
                Response::new(Empty::new())
            })
        };
        let listener = SingleWorkerListener::start(service, Panics::default());
        let (longest, answers) = (longest_wait.clone(), answered.clone());
        let timer = async move {
            loop {
                let before = answers.load(Ordering::Relaxed);
                sleep(Duration::from_millis(1)).await;
                longest.fetch_max(answers.load(Ordering::Relaxed) - before, Ordering::Relaxed);
            }
        };
        Tasks::default().spawn_on(&listener.workers.next(), "timer", "", Box::pin(timer));
        Self { listener, answered, longest_wait }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listener.address).await.expect("a listener")
    }

    fn assert_timer_ran(&self) {
        let most = self.longest_wait.load(Ordering::Relaxed);
        assert!((1..MAX_REQUESTS).contains(&most), "{most} requests were answered before a timer");
    }
}

/// A request that waits for its answer.
struct HeldRequest(Arc<AtomicUsize>);

impl Drop for HeldRequest {
    fn drop(&mut self) {
        work(Duration::from_millis(1));
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "the work of the test")]
fn work(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until all requests have been answered with 200.
async fn assert_answered(mut responses: FuturesUnordered<h2::client::ResponseFuture>) {
    let all = async {
        while let Some(response) = responses.next().await {
            assert_eq!(response.expect("a response").status(), 200);
        }
    };
    timeout(DEADLINE, all).await.expect("all are answered");
}

#[tokio::test]
async fn pipelined_requests_on_http1_let_the_workers_timers_run() {
    const REQUESTS: usize = 1000;
    let busy = BusyListener::start();
    let (mut reading, mut writing) = busy.connect().await.into_split();

    let sending = async {
        let mut requests = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(REQUESTS - 1);
        requests.extend_from_slice(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        writing.write_all(&requests).await.expect("sent");
    };
    let receiving = async {
        let mut received = String::new();
        reading.read_to_string(&mut received).await.expect("responses");
        received.matches("HTTP/1.1 200 OK").count()
    };
    let both = async { tokio::join!(sending, receiving).1 };
    assert_eq!(timeout(DEADLINE, both).await.expect("all are answered"), REQUESTS);

    busy.assert_timer_ran();
}

#[tokio::test]
async fn concurrent_requests_on_http2_let_the_workers_timers_run() {
    const REQUESTS: usize = 200;
    let busy = BusyListener::start();
    let (mut requests, connection) = h2::client::handshake(busy.connect().await).await.expect("a connection");
    Tasks::default().spawn("client", async { drop(connection.await) });

    for _ in 0..3 {
        let responses = FuturesUnordered::new();
        for _ in 0..REQUESTS {
            requests = requests.ready().await.expect("room");
            let request = Request::get("http://localhost/").body(()).expect("a request");
            responses.push(requests.send_request(request, true).expect("sent").0);
        }
        assert_answered(responses).await;
    }

    busy.assert_timer_ran();
}

#[tokio::test]
async fn bursts_on_many_connections_at_the_same_moment_let_the_workers_timers_run() {
    const CONNECTIONS: usize = 20;
    let busy = BusyListener::start();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let (requests, connection) = h2::client::handshake(busy.connect().await).await.expect("a connection");
        Tasks::default().spawn("client", async { drop(connection.await) });
        clients.push(requests.ready().await.expect("room"));
    }
    let responses = FuturesUnordered::new();
    let send = |client: &mut h2::client::SendRequest<Bytes>, path: &str| {
        let request = Request::get(format!("http://localhost{path}")).body(()).expect("a request");
        responses.push(client.send_request(request, true).expect("sent").0);
    };

    send(&mut clients[0], LONG);
    tokio::task::yield_now().await;
    for client in &mut clients {
        (0..10).for_each(|_| send(client, "/"));
    }
    assert_answered(responses).await;

    busy.assert_timer_ran();
}

#[tokio::test]
async fn a_connection_that_ends_with_many_requests_lets_the_workers_timers_run() {
    const REQUESTS: usize = 100;
    let busy = BusyListener::start();
    let (mut requests, connection) = h2::client::handshake(busy.connect().await).await.expect("a connection");
    let (end, ended) = oneshot::channel::<()>();
    Tasks::default().spawn("client", async {
        tokio::select! {
            _ = connection => {}
            _ = ended => {}
        }
    });
    let mut held = Vec::new();
    for path in std::iter::repeat_n(HELD, REQUESTS).chain(["/"]) {
        requests = requests.ready().await.expect("room");
        let request = Request::get(format!("http://localhost{path}")).body(()).expect("a request");
        held.push(requests.send_request(request, true).expect("sent").0);
    }
    let last = held.pop().expect("a request");
    assert_eq!(timeout(DEADLINE, last).await.expect("in time").expect("a response").status(), 200);

    drop(end);
    let all_dropped = async {
        while busy.answered.load(Ordering::Relaxed) <= REQUESTS {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, all_dropped).await.expect("all are dropped");

    busy.assert_timer_ran();
}
