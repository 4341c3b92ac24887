//! Services and bodies that panic: a stand-in for any defect in what a listener serves.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

use super::*;
use crate::limits::Limits;
use crate::runtime::panics::Panics;
use crate::runtime::tasks::Tasks;
use crate::runtime::workers::Workers;
use crate::telemetry::Metrics;

const DEADLINE: Duration = Duration::from_secs(20);

/// Says "a", then goes on as its path says.
struct Letters {
    path: String,
    is_begun: bool,
    /// Runs from the first piece on, so that this is out before what follows.
    pause: Pin<Box<Sleep>>,
}

impl Body for Letters {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match (self.is_begun, &*self.path) {
            (false, _) => {
                self.is_begun = true;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"a")))))
            }
            (true, "/body") => {
                ready!(self.pause.as_mut().poll(cx));
                panic!("for the test")
            }
            (true, "/whole" | "/drop") => Poll::Ready(None),
            (true, _) => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Letters {
    fn drop(&mut self) {
        assert!(self.path != "/drop" || std::thread::panicking(), "for the test");
    }
}

impl ResponseBody for Letters {
    fn poll_cut(&mut self, _: &mut Context<'_>, _: bool) -> Poll<()> {
        Poll::Pending
    }

    fn fail(&mut self) {}
}

/// Panics when it is copied for a connection, once.
struct Fragile<S>(S, Arc<Mutex<bool>>);

impl<S: Clone> Clone for Fragile<S> {
    fn clone(&self) -> Self {
        assert!(!std::mem::take(&mut *self.1.lock()), "for the test");
        Self(self.0.clone(), self.1.clone())
    }
}

struct House {
    address: std::net::SocketAddr,
    panicked: Arc<Mutex<Vec<&'static str>>>,
    accepting: Tasks,
    workers: Workers,
}

impl House {
    fn open() -> Self {
        Self::with(false)
    }

    fn with(is_fragile: bool) -> Self {
        let panicked = Arc::new(Mutex::new(Vec::new()));
        let panics = Panics::new({
            let panicked = panicked.clone();
            move |task| panicked.lock().push(task)
        });
        let (tasks, accepting) = (Tasks::new(panics.clone()), Tasks::new(panics));
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("bound");
        let settings = Settings {
            name: "test".to_owned(),
            address: Address::Socket(address),
            reuse_port: false,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            tls: None,
        };
        let (workers, _) = Workers::start(1).expect("a thread");
        let limits = Arc::new(ArcSwap::from_pointee(Limits::default()));
        let around = ListenerContext {
            accept_limits: AcceptLimits::new(limits.clone()),
            limits,
            workers: workers.clone(),
            tasks,
            leaving: accepting.draining(),
            metrics: Metrics::new("0").listener("test"),
            tls: None,
            handshake_log: Arc::new(HandshakeLog::new("test")),
            trusted_proxies: [].as_slice().into(),
            proxy_protocol: false,
            handover: Handover::of(&settings),
        };
        let listener = Listener::new(settings, socket, None).expect("bound");
        let fragile = Fragile((), Arc::new(Mutex::new(is_fragile)));
        let service = move |request: Request<RequestBodyInfo>| -> BoxFuture<'static, Response<Letters>> {
            let _ = &fragile;
            let path = request.uri().path().to_owned();
            assert_ne!(path, "/call", "for the test");
            Box::pin(async move {
                assert_ne!(path, "/answer", "for the test");
                Response::new(Letters { path, is_begun: false, pause: Box::pin(sleep(Duration::from_millis(50))) })
            })
        };
        accepting.spawn("accept", listener.run(around, service));
        Self { address, panicked, accepting, workers }
    }

    async fn http1(&self, path: &str) -> String {
        let mut tcp = TcpStream::connect(self.address).await.expect("a listener");
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.expect("sent");
        let mut said = Vec::new();
        // A reset is an end as well.
        let _ = timeout(DEADLINE, tcp.read_to_end(&mut said)).await.expect("the connection ends");
        String::from_utf8(said).expect("text")
    }

    async fn http2(&self) -> SendRequest<Bytes> {
        let tcp = TcpStream::connect(self.address).await.expect("a listener");
        let (requests, connection) = h2::client::handshake(tcp).await.expect("a connection");
        Tasks::default().spawn("client", async { drop(connection.await) });
        requests
    }

    async fn assert_panicked(&self, tasks: &[&str]) {
        timeout(DEADLINE, async {
            while self.panicked.lock().len() < tasks.len() {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("they are told");
        assert_eq!(self.panicked.lock().as_slice(), tasks);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.accepting.drain();
        self.workers.clone().stop();
    }
}

async fn ask(requests: &mut SendRequest<Bytes>, path: &str) -> ResponseFuture {
    let mut ready = requests.clone().ready().await.expect("room");
    let request = Request::get(format!("http://localhost{path}")).body(()).expect("a request");
    ready.send_request(request, true).expect("sent").0
}

async fn first(response: ResponseFuture) -> RecvStream {
    let mut body = timeout(DEADLINE, response).await.expect("in time").expect("a head").into_body();
    let piece = timeout(DEADLINE, body.data()).await.expect("in time").expect("a piece").expect("no reset");
    assert_eq!(piece, "a");
    body
}

#[tokio::test]
async fn over_http2_a_panic_resets_its_own_stream_and_no_other() {
    let house = House::open();
    let mut requests = house.http2().await;
    let mut sibling = first(ask(&mut requests, "/endless").await).await;

    for path in ["/call", "/answer"] {
        let refused = timeout(DEADLINE, ask(&mut requests, path).await).await.expect("in time").expect_err("a reset");
        assert_eq!(refused.reason(), Some(Reason::INTERNAL_ERROR), "{path}");
    }
    let mut body = first(ask(&mut requests, "/body").await).await;
    let cut = timeout(DEADLINE, body.data()).await.expect("in time").expect("more").expect_err("a reset");
    assert_eq!(cut.reason(), Some(Reason::INTERNAL_ERROR));
    drop(first(ask(&mut requests, "/drop").await).await);

    house.assert_panicked(&["request", "exchange", "exchange", "exchange"]).await;
    drop(first(ask(&mut requests, "/whole").await).await);
    assert!(timeout(Duration::from_millis(50), sibling.data()).await.is_err(), "it is still open");
}

#[tokio::test]
async fn over_http1_a_panic_ends_its_own_connection_and_no_other() {
    let house = House::open();

    assert_eq!(house.http1("/call").await, "");
    assert_eq!(house.http1("/answer").await, "");
    let cut = house.http1("/body").await;
    assert!(!cut.ends_with("0\r\n\r\n"), "no clean end: {cut}");

    house.assert_panicked(&["connection", "connection", "connection"]).await;
    assert!(house.http1("/whole").await.ends_with("1\r\na\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn a_panic_of_the_accept_loop_costs_the_connection_that_it_was_dealing_out() {
    let house = House::with(true);

    assert_eq!(house.http1("/whole").await, "");

    house.assert_panicked(&["accept"]).await;
    assert!(house.http1("/whole").await.ends_with("0\r\n\r\n"));
}
