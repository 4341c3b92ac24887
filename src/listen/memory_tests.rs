//! HTTP/2 connections while memory is full.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use http::{Request, Response};
use http_body_util::Empty;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::IncomingRequest;
use super::fixture_tests::{MEMORY, SingleWorkerListener};
use crate::runtime::memory::{MemoryCharge, MemoryKind};
use crate::runtime::panics::Panics;
use crate::runtime::tasks::Tasks;

const DEADLINE: Duration = Duration::from_secs(20);

/// A client of one connection, whose requests are not answered.
struct Client {
    sender: h2::client::SendRequest<Bytes>,
    responses: Vec<h2::client::ResponseFuture>,
    /// Completes when the connection has ended.
    ended: BoxFuture<'static, ()>,
}

impl Client {
    async fn connect(listener: &SingleWorkerListener) -> Self {
        let socket = TcpStream::connect(listener.address).await.expect("a listener");
        let (sender, connection) = h2::client::handshake(socket).await.expect("a connection");
        let (told, ended) = tokio::sync::oneshot::channel::<()>();
        Tasks::default().spawn("client", async move {
            drop(connection.await);
            drop(told);
        });
        Self { sender, responses: Vec::new(), ended: Box::pin(async { drop(ended.await) }) }
    }

    async fn request(&mut self, count: usize) {
        for _ in 0..count {
            self.sender = self.sender.clone().ready().await.expect("room");
            let request = Request::get("http://localhost/").body(()).expect("a request");
            self.responses.push(self.sender.send_request(request, true).expect("sent").0);
        }
    }
}

#[tokio::test]
async fn only_an_http2_connection_that_holds_more_than_its_part_is_closed_while_memory_is_full() {
    let never = |_: IncomingRequest| -> BoxFuture<'static, Response<Empty<Bytes>>> { Box::pin(std::future::pending()) };
    let listener = SingleWorkerListener::start(never, Panics::default());
    let held = |kind| listener.ledger.held(kind);
    let (mut small, mut large) = (Client::connect(&listener).await, Client::connect(&listener).await);
    small.request(10).await;
    large.request(500).await;
    let charged = async {
        while held(MemoryKind::Http2) <= listener.ledger.part() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, charged).await.expect("the connections are charged for their streams");

    let full = MemoryCharge::new(&listener.ledger, MemoryKind::Logs, MEMORY);
    small.request(1).await;
    large.request(1).await;

    timeout(DEADLINE, &mut large.ended).await.expect("it is closed");
    assert!(small.ended.now_or_never().is_none());
    drop(full);
    let released = async {
        while held(MemoryKind::Http2) > 16 * 4096 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, released).await.expect("what it held is released");
}
