//! Streams on shared connections to origins in this process.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2::server::SendResponse;
use parking_lot::Mutex;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::*;
use crate::upstream::http2_connection::STREAM_WINDOW;

/// An origin that hands its requests to the test.
struct Server {
    streams: u32,
    pool: Http2Pool,
    tasks: Tasks,
    /// The number of connections.
    opened: AtomicUsize,
    /// Ends each connection after this many requests, with GOAWAY.
    most: Option<usize>,
    requests: (mpsc::UnboundedSender<SendResponse<Bytes>>, Mutex<mpsc::UnboundedReceiver<SendResponse<Bytes>>>),
    serving: Mutex<JoinSet<()>>,
    /// Stops a connection without a word.
    stopped: Arc<Notify>,
}

impl Server {
    fn new(streams: u32, most: Option<usize>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            streams,
            pool: Http2Pool::default(),
            tasks: Tasks::default(),
            opened: AtomicUsize::new(0),
            most,
            requests: (sender, Mutex::new(receiver)),
            serving: Mutex::default(),
            stopped: Arc::default(),
        }
    }

    async fn open(&self) -> Result<Http2Connection<DuplexStream>, String> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let (io, peer) = tokio::io::duplex(64 * 1024);
        let (streams, most, requests) = (self.streams, self.most, self.requests.0.clone());
        let stopped = self.stopped.clone();
        self.serving.lock().spawn(async move {
            let mut connection =
                h2::server::Builder::new().max_concurrent_streams(streams).handshake(peer).await.expect("HTTP/2");
            let mut accepted = 0;
            loop {
                let request = tokio::select! {
                    request = connection.accept() => request,
                    // It keeps the transport and does nothing more.
                    () = stopped.notified() => std::future::pending().await,
                };
                let Some(Ok((_, respond))) = request else { break };
                requests.send(respond).expect("the test runs");
                accepted += 1;
                if most == Some(accepted) {
                    connection.graceful_shutdown();
                }
            }
        });
        Http2Connection::open(io, Duration::from_secs(3), Some(IDLE)).await
    }

    /// Opens a stream, and returns both of its ends.
    async fn stream(&self) -> Result<(Http2Body, h2::SendStream<Bytes>), ConnectError> {
        let request = Request::get("http://origin/events").body(Bytes::new()).expect("a request");
        let answer = async {
            let respond = poll_fn(|cx| self.requests.1.lock().poll_recv(cx)).await;
            respond.expect("the server runs").send_response(Response::new(()), false).expect("an open stream")
        };
        let (sent, answered) = tokio::join!(
            send_on_pool(&self.pool, "http://origin", &self.tasks, || self.open(), request, true),
            async { timeout(Duration::from_secs(5), answer).await }
        );
        Ok((sent?.1, answered.expect("the request has arrived")))
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

/// The idle timeout of the streams.
const IDLE: Duration = Duration::from_secs(30);

async fn read(body: &mut Http2Body) -> Option<Result<Bytes, String>> {
    timeout(2 * IDLE, poll_fn(|cx| body.poll_data(cx))).await.expect("data, or an end")
}

#[tokio::test]
async fn streams_that_are_not_read_starve_no_other() {
    let server = Server::new(1000, None);
    let mut unread = Vec::new();
    for _ in 0..300 {
        let (body, mut sender) = server.stream().await.expect("a stream");
        // Twice what the window takes.
        sender.send_data(Bytes::from(vec![0; 2 * STREAM_WINDOW as usize]), false).expect("an open stream");
        unread.push((body, sender));
    }
    let (mut body, mut sender) = server.stream().await.expect("a stream");

    for number in 0..10_u8 {
        sender.send_data(Bytes::from(vec![number; 10_000]), false).expect("an open stream");
        let mut received = 0;
        while received < 10_000 {
            let data = read(&mut body).await.expect("no end").expect("no error");
            assert!(data.iter().all(|byte| *byte == number));
            received += data.len();
        }
    }

    assert_eq!(server.opened(), 1);
    for (body, _) in &mut unread {
        assert_eq!(body.data.flow_control().used_capacity(), STREAM_WINDOW as usize, "no more than the window is held");
    }
}

#[tokio::test]
async fn streams_beyond_those_that_an_origin_allows_get_another_connection() {
    let server = Server::new(2, None);
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(server.stream().await.expect("a stream"));
    }
    assert_eq!(server.opened(), 3);

    // A place that is free again is taken before another connection is opened.
    streams.remove(0);
    streams.push(server.stream().await.expect("a stream"));
    streams.push(server.stream().await.expect("a stream"));

    assert_eq!(server.opened(), 3);
}

#[tokio::test]
async fn connections_to_an_origin_are_bounded() {
    let server = Server::new(1, None);
    let mut streams = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        streams.push(server.stream().await.expect("a stream"));
    }

    let request = Request::get("http://origin/events").body(Bytes::new()).expect("a request");
    let refused = send_on_pool(&server.pool, "http://origin", &server.tasks, || server.open(), request, true).await;

    assert!(refused.is_err_and(|error| error.to_string().contains("64 HTTP/2 connections")));
    assert_eq!(server.opened(), MAX_CONNECTIONS);
}

#[tokio::test]
async fn after_a_goaway_new_streams_use_another_connection_and_open_ones_go_on() {
    let server = Server::new(100, Some(3));
    let mut streams = Vec::new();

    for _ in 0..10 {
        streams.push(server.stream().await.expect("a stream"));
    }

    assert!((4..=5).contains(&server.opened()), "{}", server.opened());
    for (body, sender) in &mut streams {
        sender.send_data(Bytes::from_static(b"data"), false).expect("an open stream");
        assert_eq!(read(body).await, Some(Ok(Bytes::from_static(b"data"))));
    }
}

#[tokio::test]
async fn all_streams_of_a_connection_that_breaks_end_and_the_next_one_gets_another() {
    let server = Server::new(100, None);
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(server.stream().await.expect("a stream"));
    }

    server.serving.lock().abort_all();

    for (body, _) in &mut streams {
        assert!(read(body).await.is_some_and(|read| read.is_err()));
    }
    server.stream().await.expect("a stream on another connection");
    assert_eq!(server.opened(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_ends_before_the_idle_timeout_of_its_streams() {
    let server = Server::new(100, None);
    let (mut body, _sender) = server.stream().await.expect("a stream");
    let begun = Instant::now();

    server.stopped.notify_one();

    let end = read(&mut body).await;
    assert!(end.is_some_and(|end| end.is_err_and(|reason| reason.contains("no answer to a PING within 10 s"))));
    assert!(begun.elapsed() < IDLE);
}

#[tokio::test]
async fn a_peer_that_does_not_speak_http2_is_named_so() {
    let (io, mut peer) = tokio::io::duplex(1024);
    peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("room");

    let opened = Http2Connection::open(io, Duration::from_secs(3), None).await;

    assert!(opened.is_err_and(|reason| reason.contains("frame with invalid size")));
}
