//! Three gateways that share the answers of one producer: the request is sent once, whatever gateway has it.

use http::{Method, StatusCode};

use crate::fixture::{SECRET, ask, chat, config, data, last_id, request};
use crate::producer::Producer;
use crate::support::client::Client;
use crate::support::figures::admin;
use crate::support::nats::NatsServer;
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually, within};

const QUESTION: &str = "{\"q\":1}";

struct Site {
    producer: Producer,
    engine: NatsServer,
    gateways: Vec<Rillgate>,
}

impl Site {
    async fn start(post: &str) -> Self {
        let (producer, engine) = (Producer::start().await, NatsServer::start().await);
        let cluster = format!(
            "[server.drain]\nspread = \"0s\"\n[cluster]\nurls = [\"{}\"]\nkey = {{ env = \"CLUSTER_KEY\" }}\n\
             lease = \"1s\"\nreplicas = 1\n",
            engine.url()
        );
        let route = chat(post, "[routes.replay]\nstore = \"cluster\"");
        let config = config(&producer.url(), "", &format!("{cluster}{route}"));
        let mut gateways = Vec::new();
        for _ in 0..3 {
            let key = ("CLUSTER_KEY", "0123456789abcdef0123456789abcdef");
            gateways.push(Rillgate::start_with(&config, &[("POST_SECRET", SECRET), key]).await);
        }
        for gateway in &gateways {
            eventually(DEADLINE, || async { admin(gateway, "/readyz?cluster").await.0 == 200 }).await;
        }
        Self { producer, engine, gateways }
    }

    fn client(&self, gateway: usize) -> Client {
        Client::http1(self.gateways[gateway].address())
    }
}

#[tokio::test]
async fn equal_requests_at_three_gateways_share_one_answer() {
    let site = Site::start("key = \"body\"").await;
    let clients = [0, 1, 2].map(|gateway| site.client(gateway));

    let [one, two, three] = clients.each_ref().map(|client| ask(client, "alice", QUESTION, &[]));
    let (one, two, three) = within(DEADLINE, "three heads", async { tokio::join!(one, two, three) }).await;
    site.producer.emit("first");
    let mut readings = [one, two, three];
    for reading in &mut readings {
        reading.until("data: first").await;
    }
    let id = last_id(&readings[0].text).to_owned();
    let url = readings[0].url();
    assert!(readings.iter().all(|reading| reading.url() == url), "one name");
    site.producer.emit("second");

    let mut resumed = request(&clients[2], Method::GET, "alice", &url, &[("last-event-id", &id)]).await;
    assert_eq!(data(resumed.until("data: second").await), ["second"]);
    let foreign = request(&clients[1], Method::GET, "bob", &url, &[]).await;
    assert_eq!((foreign.status, foreign.reason().await), (StatusCode::NOT_FOUND, "no_stream".to_owned()));
    site.producer.end();
    for reading in readings {
        assert_eq!(data(&reading.whole().await), ["first", "second"]);
    }
    for client in &clients {
        let again = ask(client, "alice", QUESTION, &[]).await;
        assert_eq!((again.url(), data(&again.whole().await)), (url.clone(), vec!["first", "second"]));
    }
    assert_eq!(site.producer.asked().len(), 1);
}

#[tokio::test]
async fn a_gateway_without_clients_of_an_answer_reads_it_at_its_url() {
    let site = Site::start("key = \"each\"").await;
    let mut first = ask(&site.client(0), "alice", QUESTION, &[]).await;
    site.producer.emit("one");
    first.until("data: one").await;
    let url = first.url();

    let mut read = request(&site.client(1), Method::GET, "alice", &url, &[]).await;
    site.producer.emit("two");
    read.until("data: two").await;
    drop((first, read));
    site.producer.emit("three");
    site.producer.end();

    let whole = request(&site.client(2), Method::GET, "alice", &url, &[]).await.whole().await;
    assert_eq!(data(&whole), ["one", "two", "three"], "the producer goes on without readers");
    let other = request(&site.client(2), Method::GET, "alice", "/chat?rillgate-stream=other", &[]).await;
    assert_eq!((other.status, other.reason().await), (StatusCode::NOT_FOUND, "no_stream".to_owned()));
    let _another = ask(&site.client(1), "alice", QUESTION, &[]).await;
    assert_eq!(site.producer.asked().len(), 2);
}

#[tokio::test]
async fn its_opener_stops_an_answer_at_any_gateway() {
    let site = Site::start("key = \"body\"").await;
    let mut first = ask(&site.client(0), "alice", QUESTION, &[]).await;
    site.producer.emit("one");
    first.until("data: one").await;
    let (url, second) = (first.url(), ask(&site.client(1), "alice", QUESTION, &[]).await);

    let by_bob = request(&site.client(2), Method::DELETE, "bob", &url, &[]).await;
    let at_follower = request(&site.client(1), Method::DELETE, "bob", &url, &[]).await;
    assert_eq!((by_bob.status, at_follower.status), (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN));
    assert_eq!(site.producer.open(), 1);
    let by_alice = request(&site.client(2), Method::DELETE, "alice", &url, &[]).await;

    assert_eq!(by_alice.status, StatusCode::NO_CONTENT);
    eventually(DEADLINE, || async { site.producer.open() == 0 }).await;
    assert_eq!((data(&first.whole().await), data(&second.whole().await)), (vec!["one"], vec!["one"]));
    let kept = request(&site.client(2), Method::GET, "alice", &url, &[]).await;
    assert_eq!(data(&kept.whole().await), ["one"]);
    let unknown = request(&site.client(2), Method::DELETE, "alice", "/chat?rillgate-stream=unknown", &[]).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let new = ask(&site.client(1), "alice", QUESTION, &[]).await;
    assert_ne!(new.url(), url, "a stopped answer is not the answer to a new request");
    assert_eq!(site.producer.asked().len(), 2);
}

#[tokio::test]
async fn an_answer_whose_gateway_is_killed_is_incomplete_and_never_asked_for_again() {
    let mut site = Site::start("key = \"body\"").await;
    let mut first = ask(&site.client(0), "alice", QUESTION, &[]).await;
    site.producer.emit("one");
    let id = last_id(first.until("data: one").await).to_owned();
    let url = first.url();
    let second = ask(&site.client(1), "alice", QUESTION, &[]).await;
    let third = request(&site.client(2), Method::GET, "alice", &url, &[]).await;

    site.gateways.remove(0).kill().await;

    let broken = ["one", "{\"status\":502,\"reason\":\"upstream_broken\"}"];
    for reading in [second, third] {
        let text = reading.whole().await;
        assert_eq!(data(&text), broken, "{text}");
        assert!(text.contains("gap;reason=upstream"), "{text}");
    }
    for gateway in 0..2 {
        let resumed = ask(&site.client(gateway), "alice", QUESTION, &[("last-event-id", &id)]).await;
        assert_eq!((resumed.url(), resumed.header("rillgate-resume")), (url.clone(), "gap;reason=upstream"));
    }
    assert_eq!(site.producer.asked().len(), 1);
    let new = ask(&site.client(1), "alice", QUESTION, &[]).await;
    assert_ne!(new.url(), url);
    assert_eq!(site.producer.asked().len(), 2, "a request without an id is a new one");
}

#[tokio::test]
async fn a_gateway_that_drains_keeps_its_answer_to_the_end() {
    let mut site = Site::start("key = \"body\"").await;
    let mut first = ask(&site.client(0), "alice", QUESTION, &[]).await;
    site.producer.emit("one");
    first.until("data: one").await;
    let mut second = ask(&site.client(1), "alice", QUESTION, &[]).await;
    second.until("data: one").await;

    let draining = site.gateways.remove(0);
    draining.signal("TERM");
    first.whole().await;
    site.producer.emit("two");
    second.until("data: two").await;
    site.producer.end();

    assert_eq!(data(&second.whole().await), ["one", "two"]);
    draining.wait_exit(DEADLINE).await;
    assert_eq!(site.producer.asked().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_no_event_stream_reaches_the_clients_of_every_gateway() {
    let site = Site::start("key = \"body\"").await;
    site.producer.answer(429, &[("content-type", "application/json"), ("retry-after", "7")], Some("{\"error\":1}"));
    let clients = [0, 1, 2].map(|gateway| site.client(gateway));

    let [one, two, three] = clients.each_ref().map(|client| ask(client, "alice", QUESTION, &[]));
    let (one, two, three) = within(DEADLINE, "three heads", async { tokio::join!(one, two, three) }).await;

    for answer in [one, two, three] {
        assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "7"));
        assert_eq!(answer.whole().await, "{\"error\":1}");
    }
    let asked = site.producer.asked().len();
    assert!((1..=3).contains(&asked), "each gateway asks at most once for its clients: {asked}");
    for client in &clients {
        assert_eq!(ask(client, "alice", QUESTION, &[]).await.whole().await, "{\"error\":1}");
    }
    assert_eq!(site.producer.asked().len(), asked + 3, "it is not kept");
}

#[tokio::test]
async fn without_the_engine_nothing_is_sent() {
    let site = Site::start("key = \"body\"").await;

    site.engine.kill();
    let refused = ask(&site.client(0), "alice", QUESTION, &[]).await;

    assert_eq!((refused.status, refused.reason().await), (StatusCode::SERVICE_UNAVAILABLE, "cluster".to_owned()));
    assert!(site.producer.asked().is_empty());
}
