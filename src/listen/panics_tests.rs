//! Services and bodies that panic, in place of any defect in the code that a listener serves.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

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

use super::fixture_tests::SingleWorkerListener;
use super::*;
use crate::runtime::panics::Panics;
use crate::runtime::tasks::Tasks;

const DEADLINE: Duration = Duration::from_secs(20);

/// A body that sends "a" and then does what its path names.
struct TestBody {
    path: String,
    is_begun: bool,
    /// Starts with the first chunk, so that the chunk is sent before the panic.
    pause: Pin<Box<Sleep>>,
}

impl Body for TestBody {
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

impl Drop for TestBody {
    fn drop(&mut self) {
        assert!(self.path != "/drop" || std::thread::panicking(), "for the test");
    }
}

impl ResponseBody for TestBody {
    fn poll_deadline(&mut self, _: &mut Context<'_>, _: bool, _: Duration) -> Poll<()> {
        Poll::Pending
    }

    fn on_panic(&mut self) {}
}

/// A service that panics once, when it is cloned for a connection.
struct PanicOnClone<S>(S, Arc<Mutex<bool>>);

impl<S: Clone> Clone for PanicOnClone<S> {
    fn clone(&self) -> Self {
        assert!(!std::mem::take(&mut *self.1.lock()), "for the test");
        Self(self.0.clone(), self.1.clone())
    }
}

struct TestListener {
    listener: SingleWorkerListener,
    panicked: Arc<Mutex<Vec<&'static str>>>,
}

impl TestListener {
    fn start() -> Self {
        Self::start_with(false)
    }

    fn start_with(panics_on_clone: bool) -> Self {
        let panicked = Arc::new(Mutex::new(Vec::new()));
        let panics = Panics::new({
            let panicked = panicked.clone();
            move |task| panicked.lock().push(task)
        });
        let panic_on_clone = PanicOnClone((), Arc::new(Mutex::new(panics_on_clone)));
        let service = move |request: IncomingRequest| -> BoxFuture<'static, Response<TestBody>> {
            let _ = &panic_on_clone;
            let path = request.head.uri.path().to_owned();
            assert_ne!(path, "/call", "for the test");
            Box::pin(async move {
                assert_ne!(path, "/answer", "for the test");
                Response::new(TestBody { path, is_begun: false, pause: Box::pin(sleep(Duration::from_millis(50))) })
            })
        };
        Self { listener: SingleWorkerListener::start(service, panics), panicked }
    }

    async fn http1(&self, path: &str) -> String {
        let mut tcp = TcpStream::connect(self.listener.address).await.expect("a listener");
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.expect("sent");
        let mut received = Vec::new();
        // A reset also ends the connection.
        let _ = timeout(DEADLINE, tcp.read_to_end(&mut received)).await.expect("the connection ends");
        String::from_utf8(received).expect("text")
    }

    async fn http2(&self) -> SendRequest<Bytes> {
        let tcp = TcpStream::connect(self.listener.address).await.expect("a listener");
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
    let listener = TestListener::start();
    let mut requests = listener.http2().await;
    let mut sibling = first(ask(&mut requests, "/endless").await).await;

    for path in ["/call", "/answer"] {
        let refused = timeout(DEADLINE, ask(&mut requests, path).await).await.expect("in time").expect_err("a reset");
        assert_eq!(refused.reason(), Some(Reason::INTERNAL_ERROR), "{path}");
    }
    let mut body = first(ask(&mut requests, "/body").await).await;
    let cut = timeout(DEADLINE, body.data()).await.expect("in time").expect("more").expect_err("a reset");
    assert_eq!(cut.reason(), Some(Reason::INTERNAL_ERROR));
    drop(first(ask(&mut requests, "/drop").await).await);

    listener.assert_panicked(&["request", "exchange", "exchange", "exchange"]).await;
    drop(first(ask(&mut requests, "/whole").await).await);
    assert!(timeout(Duration::from_millis(50), sibling.data()).await.is_err(), "it is still open");
}

#[tokio::test]
async fn over_http1_a_panic_ends_its_own_connection_and_no_other() {
    let listener = TestListener::start();

    assert_eq!(listener.http1("/call").await, "");
    assert_eq!(listener.http1("/answer").await, "");
    let cut = listener.http1("/body").await;
    assert!(!cut.ends_with("0\r\n\r\n"), "no clean end: {cut}");

    listener.assert_panicked(&["connection", "connection", "connection"]).await;
    assert!(listener.http1("/whole").await.ends_with("1\r\na\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn a_panic_while_dispatching_loses_only_that_connection() {
    let listener = TestListener::start_with(true);

    assert_eq!(listener.http1("/whole").await, "");

    listener.assert_panicked(&["accept"]).await;
    assert!(listener.http1("/whole").await.ends_with("0\r\n\r\n"));
}
