//! Tests of the tools in `support`, on which all other tests rely.
//!
//! Here the client talks to the origin directly, or through the bad network; no gateway runs.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::express::Express;
use crate::support::network::Network;
use crate::support::origin::{Connections, Emission, Origin};
use crate::support::process::{Process, bound_to_this_process};
use crate::support::script::{Answer, Cut};
use crate::support::server::{Listening, wait_listening};
use crate::support::subscription::Ending;
use crate::support::wait::{DEADLINE, eventually, within};

#[tokio::test]
async fn an_emission_reaches_every_open_response() {
    let origin = Origin::start().await;
    let client = Client::http1(origin.address());
    let mut first = client.subscribe("/a?b=c", &[("x-test", "1")]).await;
    let mut second = client.subscribe("/a", &[]).await;

    origin.emit(": hello\nretry: 50\n\n");
    origin.emit(Emission::event("7", "price", "1\n2"));

    for subscription in [&mut first, &mut second] {
        let event = subscription.next_event(DEADLINE).await;
        assert_eq!((event.kind.as_str(), event.data.as_str(), event.last_event_id.as_str()), ("price", "1\n2", "7"));
        assert_eq!(subscription.comments(), [" hello"]);
        assert_eq!(subscription.retries(), [Duration::from_millis(50)]);
        assert_eq!(subscription.last_event_id(), "7");
    }
    assert_eq!((first.status.as_u16(), first.header("content-type")), (200, "text/event-stream"));
    let request = &origin.requests()[0];
    assert_eq!(
        (request.method.as_str(), request.target.as_str(), request.header("x-test")),
        ("GET", "/a?b=c", Some("1"))
    );
    assert_eq!(origin.connections(), Connections { open: 2, total: 2 });
    drop(first);
    origin.wait_open(1).await;
}

#[tokio::test]
async fn an_origin_cuts_in_every_way_and_the_client_sees_which() {
    let authority = Authority::new();
    let plain = Origin::start().await;
    let tls = Origin::start_tls(&authority.server()).await;

    for (origin, client) in
        [(&plain, Client::http1(plain.address())), (&tls, Client::http1(tls.address()).tls(&authority))]
    {
        for how in [Cut::End, Cut::Fin, Cut::Reset, Cut::TruncatedChunk] {
            let mut subscription = client.subscribe("/", &[]).await;
            origin.emit("data: before\n\n");
            assert_eq!(subscription.next_event(DEADLINE).await.data, "before");

            origin.cut(how);

            if how == Cut::End {
                assert!(subscription.expect_end(DEADLINE).await.is_empty());
            } else {
                subscription.expect_cut(DEADLINE).await;
            }
        }
    }
}

#[tokio::test]
async fn a_script_answers_each_request_differently() {
    let origin = Origin::start_with(|request| match request.number {
        0 => Answer::status(503).header("retry-after", "1").then("busy"),
        1 => Answer::raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: raw\n\n"),
        2 => Answer::stream().then_cut_at(b"data: whole\n\ndata: half\n\n", 18, Cut::Fin),
        3 => Answer::stream().until_close().then("data: x\n\n").then_silence(),
        _ => Answer::silence(),
    })
    .await;
    let client = Client::http1(origin.address());

    let mut refused = client.subscribe("/", &[]).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"));
    assert_eq!(refused.text().await, "busy");

    let mut raw = client.subscribe("/", &[]).await;
    assert_eq!(raw.read_bytes(11, DEADLINE).await, b"data: raw\n\n");
    assert_eq!(raw.expect_end(DEADLINE).await.len(), 1);

    let mut half = client.subscribe("/", &[]).await;
    assert!(matches!(half.ending(DEADLINE).await, Ending::Broken(_)));
    assert_eq!((half.next_event(DEADLINE).await.data.as_str(), half.total_bytes()), ("whole", 18));

    let mut silent = client.subscribe("/", &[]).await;
    origin.emit("data: unheard\n\n");
    origin.cut(Cut::Fin);
    let events = silent.expect_end(DEADLINE).await;
    assert_eq!(events.iter().map(|event| event.data.as_str()).collect::<Vec<_>>(), ["x"]);

    let unanswered = client.try_request("GET", "/", &[]);
    assert!(tokio::time::timeout(Duration::from_millis(200), unanswered).await.is_err());
    assert_eq!(origin.wait_requests(5).await.len(), 5);

    origin.refuse(404);
    assert_eq!(client.subscribe("/", &[]).await.status.as_u16(), 404);
    origin.welcome();
    assert_eq!(client.subscribe("/", &[]).await.status.as_u16(), 200);
}

#[tokio::test]
async fn an_origin_with_a_memory_replays_what_was_missed() {
    let origin = Origin::start().await;
    origin.honour_last_event_id();
    for id in ["1", "2", "3"] {
        origin.emit(Emission::event(id, "", id));
    }
    let client = Client::http1(origin.address());

    let mut known = client.subscribe("/", &[("last-event-id", "1")]).await;
    let mut unknown = client.subscribe("/", &[("last-event-id", "9")]).await;
    origin.emit(Emission::event("4", "", "4"));

    let ids = known.next_events(3).await.into_iter().map(|event| event.last_event_id);
    assert_eq!(ids.collect::<Vec<_>>(), ["2", "3", "4"]);
    assert_eq!(unknown.next_event(DEADLINE).await.last_event_id, "4");
    assert_eq!(origin.requests()[0].last_event_id(), Some("1"));
}

#[tokio::test]
async fn one_http2_connection_carries_streams_that_end_separately() {
    let authority = Authority::new();
    let server = Http2Server::start(&authority).await;
    let mut connection = Client::http2(server.address).tls(&authority).connect().await.unwrap();
    let mut subscriptions = Vec::new();
    for number in 0..50 {
        subscriptions.push(connection.subscribe(&format!("/{number}"), &[]).await);
    }

    server.events.send(Bytes::from_static(b"data: one\n\n")).unwrap();
    for subscription in &mut subscriptions {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "one");
    }
    subscriptions.truncate(10);

    eventually(DEADLINE, || async { server.events.receiver_count() == 10 }).await;
    server.events.send(Bytes::from_static(b"data: two\n\n")).unwrap();
    for subscription in &mut subscriptions {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "two");
    }
}

#[tokio::test]
async fn tls_fails_with_a_wrong_name_authority_or_protocol() {
    let authority = Authority::new();
    let origin = Origin::start_tls(&authority.server_for("other", &["feeds.example"])).await;
    let client = Client::http1(origin.address()).tls(&authority);

    assert!(client.clone().host("feeds.example").connect().await.is_ok());
    assert!(client.connect().await.is_err());
    assert!(client.clone().host("feeds.example").tls(&Authority::new()).connect().await.is_err());
    let http2 = Client::http2(origin.address()).tls(&authority).host("feeds.example");
    assert!(http2.connect().await.is_err());
}

#[tokio::test]
async fn an_origin_with_mutual_tls_requires_a_certificate() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let config = servers.server().server_config_for_clients_of(&clients, &["http/1.1"]);
    let origin = Origin::start_tls_config(config).await;
    let client = Client::http1(origin.address());

    let known = client.clone().tls_as(&servers, &clients.client("gateway"));
    assert_eq!(known.subscribe("/", &[]).await.status.as_u16(), 200);
    let strange = client.clone().tls_as(&servers, &servers.client("gateway"));
    assert!(strange.try_request("GET", "/", &[]).await.is_err());
    assert!(client.tls(&servers).try_request("GET", "/", &[]).await.is_err());
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_bad_network_slices_delays_stalls_and_cuts() {
    let origin = Origin::start().await;
    let network = Network::to(origin.address()).await;
    let client = Client::http1(network.address());

    network.slice(1);
    let mut subscription = client.subscribe("/", &[]).await;
    origin.emit("data: sliced\n\n");
    assert_eq!(subscription.next_event(DEADLINE).await.data, "sliced");
    network.slice(0);

    network.delay(Duration::from_millis(150));
    let before = std::time::Instant::now();
    origin.emit("data: late\n\n");
    assert_eq!(subscription.next_event(DEADLINE).await.data, "late");
    assert!(before.elapsed() >= Duration::from_millis(150));
    network.delay(Duration::ZERO);

    network.stall();
    origin.emit("data: held\n\n");
    let nothing = tokio::time::timeout(Duration::from_millis(200), subscription.ending(DEADLINE)).await;
    assert!(nothing.is_err());
    network.resume();
    assert_eq!(subscription.next_event(DEADLINE).await.data, "held");

    network.cut();
    subscription.expect_cut(DEADLINE).await;
    origin.wait_open(0).await;
    network.refuse(true);
    assert!(client.try_request("GET", "/", &[]).await.is_err());
    network.refuse(false);
    assert!(client.try_request("GET", "/", &[]).await.is_ok());
}

#[tokio::test]
async fn a_client_can_send_raw_bytes_from_a_chosen_address() {
    let origin = Origin::start().await;
    let client = Client::http1(origin.address()).coming_from([127, 0, 0, 9].into());

    let mut bare = client.dial().await.unwrap();
    bare.write_all(b"\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(DEADLINE, "answer", bare.read_to_string(&mut answer)).await.unwrap();

    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_clients_are_cheap() {
    let origin = Origin::start().await;
    let client = Client::http1(origin.address());
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..2_000 {
        let client = client.clone();
        clients.spawn(async move { client.subscribe("/", &[]).await.next_event(Duration::from_secs(60)).await.data });
    }
    eventually(Duration::from_secs(60), || async { origin.connections().open == 2_000 }).await;

    origin.emit("data: all\n\n");

    let data = within(Duration::from_secs(60), "event for every client", clients.join_all()).await;
    assert!(data.len() == 2_000 && data.iter().all(|data| data == "all"));
}

#[tokio::test]
async fn a_process_reports_its_log_addresses_and_exit() {
    let script = "echo 'INFO listening address=127.0.0.1:4433 tls=true' >&2; \
                  echo '{\"message\":\"listening\",\"address\":\"127.0.0.1:4434\",\"tls\":\"false\"}' >&2; \
                  trap 'exit 7' TERM; while :; do sleep 0.05; done";
    let process = Process::start(Command::new("sh").args(["-c", script]));

    let bound = wait_listening(&process, 2).await;
    process.signal("TERM");

    assert_eq!((bound[0].address.port(), bound[0].tls), (4433, true));
    assert_eq!((bound[1].address.port(), bound[1].tls), (4434, false));
    assert_eq!(process.wait_exit(DEADLINE).await.code(), Some(7));
    assert_eq!(Listening::parse("INFO stopped address=127.0.0.1:1"), None);
}

#[test]
fn a_process_that_panicked_fails_the_test_and_does_not_outlive_it() {
    let outcome = std::panic::catch_unwind(|| {
        let script = "echo \"thread 'main' panicked at src/x.rs\"; exec sleep 60";
        let process = Process::start(Command::new("sh").args(["-c", script]));
        while process.log().is_empty() {
            std::thread::yield_now();
        }
    });

    let message = *outcome.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("the process panicked"), "{message}");
}

#[tokio::test]
async fn an_express_producer_sends_events_and_resumes_after_an_id() {
    let express = Express::start().await;
    let client = Client::http1(express.address());

    let mut subscription = client.subscribe("/feed/EURUSD?interval=10", &[]).await;
    let events = subscription.next_events(5).await;
    let mut resumed = client.subscribe("/feed/EURUSD", &[("last-event-id", &events[1].last_event_id)]).await;

    assert!(events.iter().all(|event| event.kind == "price" && event.data.contains("EURUSD")));
    assert!(events.windows(2).all(|pair| pair[0].last_event_id < pair[1].last_event_id));
    assert_eq!(resumed.next_events(3).await, events[2..]);
    assert_eq!(express.connections().await, (2, 2));
    assert_eq!(express.stats().await["lastEventIds"][1], events[1].last_event_id.as_str());
    drop((subscription, resumed));
    eventually(DEADLINE, || async { express.connections().await == (0, 2) }).await;
    let burst = client.subscribe("/burst/X?count=3", &[]).await.expect_end(DEADLINE).await;
    assert_eq!(burst.len(), 3);
}

/// A small HTTP/2 server of event streams, for the HTTP/2 client to talk to.
struct Http2Server {
    address: std::net::SocketAddr,
    events: tokio::sync::broadcast::Sender<Bytes>,
}

impl Http2Server {
    async fn start(authority: &Authority) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(authority.server().server_config(&["h2"])));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let events = tokio::sync::broadcast::Sender::new(16);
        let publisher = events.clone();
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let socket = TokioIo::new(acceptor.accept(socket).await.unwrap());
            let service = service_fn(move |_| {
                let body = futures_util::stream::unfold(publisher.subscribe(), |mut receiver| async move {
                    let bytes = receiver.recv().await.ok()?;
                    Some((Ok::<_, std::convert::Infallible>(Frame::data(bytes)), receiver))
                });
                let response = hyper::Response::new(StreamBody::new(body).boxed_unsync());
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            let _ =
                hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(socket, service).await;
        });
        Self { address, events }
    }
}

#[tokio::test]
async fn a_fixed_body_is_read_to_its_announced_length() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::http2(listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let service = service_fn(|_| async {
            Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::new(Bytes::from_static(b"data: x\n\n"))))
        });
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(socket), service)
            .await;
    });

    let mut subscription = client.subscribe("/", &[]).await;

    assert_eq!(subscription.expect_end(DEADLINE).await.len(), 1);
}

/// A program whose tests are killed ends no process of theirs by itself. The system does so when its threads are gone.
#[tokio::test]
async fn a_bound_process_ends_with_the_thread_that_started_it() {
    let process = std::thread::spawn(|| {
        let mut command = Command::new("sh");
        let process = Process::start(&mut bound_to_this_process(command.args(["-c", "echo started; exec sleep 600"])));
        while process.log().is_empty() {
            std::thread::yield_now();
        }
        process
    });
    let process = process.join().unwrap();

    let status = process.wait_exit(DEADLINE).await;

    assert!(!status.success(), "{status}");
}
