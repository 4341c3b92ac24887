//! Responses that a service takes from hyper, and those that it leaves there.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;
use http_body::{Body, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::fixture_tests::SingleWorkerListener;
use super::*;
use crate::runtime::panics::Panics;

const DEADLINE: Duration = Duration::from_secs(20);

/// A chunk that ends like a prelude, as chunks of events do.
const CHUNK: &[u8] = b"3\r\n:b\n\r\n";

enum TestBody {
    Prelude(PreludeBody),
    /// A body that hyper carries: one piece, then the end, or nothing more.
    Piece(Option<Bytes>, bool),
}

impl Body for TestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Prelude(prelude) => Pin::new(prelude).poll_frame(cx),
            Self::Piece(None, true) => Poll::Ready(None),
            Self::Piece(None, false) => Poll::Pending,
            Self::Piece(piece, _) => Poll::Ready(piece.take().map(|piece| Ok(Frame::data(piece)))),
        }
    }
}

impl ResponseBody for TestBody {
    fn poll_deadline(&mut self, _: &mut Context<'_>, _: bool, _: Duration) -> Poll<()> {
        Poll::Pending
    }

    fn on_panic(&mut self) {}
}

/// Claims the connection for a writer that sends one more chunk and closes.
fn claim(handoff: &Handoff) -> TestBody {
    let prelude = Prelude::new(Bytes::from_static(b":a\n")).expect("a bare line feed");
    let body = handoff.claim(prelude, |mut transport, unsent, task| {
        task.spawn(Box::pin(async move {
            let rest = [&unsent, CHUNK, b"0\r\n\r\n"].concat();
            let _ = transport.write_all(&rest).await;
            let _ = transport.shutdown().await;
        }));
    });
    TestBody::Prelude(body)
}

fn answer(request: &IncomingRequest) -> TestBody {
    let handoff = request.handoff.as_ref().expect("HTTP/1 has a handoff");
    match request.head.uri.path() {
        "/finite" => TestBody::Piece(Some(Bytes::from_static(b"finite")), true),
        "/declined" => {
            handoff.decline(pending());
            TestBody::Piece(Some(Bytes::from_static(b":b\n")), true)
        }
        "/aborted" => {
            handoff.decline(ready(()));
            TestBody::Piece(None, false)
        }
        _ if handoff.is_available() => claim(handoff),
        _ => TestBody::Piece(Some(Bytes::from_static(b"unavailable")), true),
    }
}

/// Returns what a client receives that requests these paths in one write and closes nothing.
async fn exchange(paths: &[&str]) -> String {
    let service = |request: IncomingRequest| -> BoxFuture<'static, Response<TestBody>> {
        Box::pin(async move { Response::new(answer(&request)) })
    };
    let listener = SingleWorkerListener::start(service, Panics::default());
    let mut tcp = TcpStream::connect(listener.address).await.expect("a listener");
    let (last, others) = paths.split_last().expect("a path");
    let mut requests: String = others.iter().map(|path| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
    requests += &format!("GET {last} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    tcp.write_all(requests.as_bytes()).await.expect("sent");
    let mut received = String::new();
    timeout(DEADLINE, tcp.read_to_string(&mut received)).await.expect("the connection ends").expect("text");
    received
}

#[tokio::test]
async fn a_claimed_connection_continues_after_the_prelude() {
    let received = exchange(&["/claimed"]).await;

    let (_, body) = received.split_once("\r\n\r\n").expect("a head");
    assert_eq!(body, "3\r\n:a\n\r\n3\r\n:b\n\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_connection_is_claimed_after_finite_responses() {
    let received = exchange(&["/finite", "/finite", "/claimed"]).await;

    assert_eq!(received.matches("\r\n6\r\nfinite\r\n0\r\n\r\n").count(), 2, "{received}");
    assert!(received.ends_with("\r\n3\r\n:a\n\r\n3\r\n:b\n\r\n0\r\n\r\n"), "{received}");
}

#[tokio::test]
async fn a_declined_connection_stays_with_hyper() {
    let received = exchange(&["/declined", "/claimed"]).await;

    assert!(received.contains("\r\n3\r\n:b\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"), "{received}");
    assert!(received.ends_with("\r\nB\r\nunavailable\r\n0\r\n\r\n"), "{received}");
}

#[tokio::test]
async fn a_declined_connection_is_closed_once_its_condition_completes() {
    let received = exchange(&["/aborted"]).await;

    assert!(!received.ends_with("0\r\n\r\n"), "no clean end: {received}");
}

#[tokio::test]
async fn requests_behind_a_claim_are_never_answered() {
    let received = exchange(&["/claimed", "/finite"]).await;

    assert_eq!(received.matches("HTTP/1.1 200 OK").count(), 1, "{received}");
}
