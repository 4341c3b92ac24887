//! Tests of clients that take nothing, over real sockets.

use std::net::Ipv4Addr;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;
use crate::http::delivery::fixture::{AGE, DeliveryFixture};

const STALL: Duration = Duration::from_secs(30);

/// More than the kernel takes for a client that does not read.
const LARGE: usize = 16 << 20;

/// Returns both ends of a connection, whose client takes little at a time.
async fn connection() -> (Transport, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a socket takes its option");
    let client = socket.connect(listener.local_addr().expect("it is bound")).await.expect("it listens");
    let (tcp, _) = listener.accept().await.expect("it was connected to");
    (Transport::Plain { tcp, read_ahead: Bytes::new() }, client)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_holds_an_evicted_event_of_a_quiet_stream_ends_while_memory_is_full() {
    let fixture = DeliveryFixture::new();
    let (transport, _client) = connection().await;
    let (delivery, end_reason) = fixture.delivery(std::future::pending().boxed());
    let mut writing = Http1Writer::new(transport, delivery, STALL, 64 * 1024).run(Vec::new());
    fixture.publish(LARGE);
    assert!((&mut writing).now_or_never().is_none(), "the kernel does not take all of it");
    fixture.fill_memory();

    writing.await;

    assert_eq!(end_reason.get(), Some(EndReason::Lagged));
}

#[tokio::test(start_paused = true)]
async fn a_client_of_the_latest_events_that_holds_no_evicted_one_does_not_lag() {
    // Less than the log retains.
    const LARGE: usize = 7 << 20;
    let fixture = DeliveryFixture::with_latest(true);
    let (transport, _client) = connection().await;
    let (delivery, end_reason) = fixture.delivery(std::future::pending().boxed());
    let mut writing = Http1Writer::new(transport, delivery, STALL, 64 * 1024).run(Vec::new());
    let received_at = std::time::Instant::now();
    fixture.publish_as(1, 1, received_at);
    for _ in 0..10 {
        fixture.publish_as(2, 1, received_at);
    }
    fixture.publish_as(2, LARGE, received_at + AGE);
    // The client takes the first event and a part of the last, which is newer than those that it did not get.
    assert!((&mut writing).now_or_never().is_none(), "the kernel does not take all of it");
    fixture.fill_memory_at(received_at + AGE + Duration::from_secs(1));
    assert_eq!(fixture.stream.log().events(), 1);

    writing.await;

    assert_eq!(end_reason.get(), Some(EndReason::Stalled));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lags_when_its_response_ends_keeps_the_reason_of_the_end() {
    let fixture = DeliveryFixture::new();
    let (transport, _client) = connection().await;
    // The next check of its lag comes before its grace is over.
    let lifetime = tokio::time::sleep(Duration::from_millis(700)).map(|()| EndReason::Expired).boxed();
    let (delivery, end_reason) = fixture.delivery(lifetime);
    let mut writing = Http1Writer::new(transport, delivery, STALL, 64 * 1024).run(Vec::new());
    fixture.publish(LARGE);
    assert!((&mut writing).now_or_never().is_none(), "the kernel does not take all of it");
    fixture.publish(1);
    fixture.fill_memory();

    writing.await;

    assert_eq!(end_reason.get(), Some(EndReason::Expired));
}
