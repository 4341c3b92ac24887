//! Answers on disk, and requests after a restart of the gateway: an equal one gets the answer that there is, and the producer
//! is asked once.

use http::{Method, StatusCode};
use tempfile::TempDir;

use crate::fixture::{ask, chat, config, data, last_id, request, start};
use crate::producer::Producer;
use crate::support::client::Client;
use crate::support::figures::wait_metric;
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

/// A producer, and a gateway in front of it that is restarted.
struct RestartFixture {
    producer: Producer,
    gateway: Rillgate,
    config: String,
    _folder: TempDir,
}

impl RestartFixture {
    /// Starts both, with these keys of `[routes.post]` and `[routes.replay]` and further tables.
    async fn new(post: &str, replay: &str, tables: &str) -> Self {
        let producer = Producer::start().await;
        let folder = tempfile::tempdir().unwrap();
        let store = format!("[store]\npath = \"{}\"\n", folder.path().display());
        let route = chat(post, &format!("[routes.replay]\nstore = \"disk\"\n{replay}\n{tables}"));
        let config = config(&producer.url(), "", &format!("{store}{route}"));
        Self { gateway: start(&config).await, producer, config, _folder: folder }
    }

    fn client(&self) -> Client {
        Client::http1(self.gateway.address())
    }

    /// Ends the gateway with this signal and starts it again.
    async fn restart(&mut self, signal: &str) {
        self.gateway.signal(signal);
        self.gateway.wait_exit(DEADLINE).await;
        self.gateway = start(&self.config).await;
    }

    /// Lets the producer answer with one event, and returns the event's id and the URL of the answer. The event is on disk.
    async fn one_event(&self, question: &str, fields: &[(&str, &str)]) -> (String, String) {
        let mut reading = ask(&self.client(), "alice", question, fields).await;
        self.producer.emit("one");
        let id = last_id(reading.until("data: one").await).to_owned();
        wait_metric(&self.gateway, "store_bytes", &[], 1.0).await;
        (id, reading.url())
    }

    fn asked(&self) -> usize {
        self.producer.asked().len()
    }
}

#[tokio::test]
async fn after_a_restart_a_complete_answer_is_the_answer_to_an_equal_request() {
    let mut fixture = RestartFixture::new("key = \"body\"", "", "").await;
    let (id, url) = fixture.one_event("{}", &[]).await;
    fixture.producer.emit("two");
    fixture.producer.end();
    let whole = request(&fixture.client(), Method::GET, "alice", &url, &[]).await.whole().await;
    assert_eq!(data(&whole), ["one", "two"]);

    fixture.restart("TERM").await;
    let client = fixture.client();
    let after = [("last-event-id", &*id)];
    let (all, rest) = tokio::join!(ask(&client, "alice", "{}", &[]), ask(&client, "alice", "{}", &after));

    assert_eq!((all.url(), rest.url()), (url.clone(), url));
    assert_eq!((data(&all.whole().await), data(&rest.whole().await)), (vec!["one", "two"], vec!["two"]));
    assert_eq!(fixture.asked(), 1);
    let _other_subject = ask(&client, "bob", "{}", &[]).await;
    let _other_body = ask(&client, "alice", "{\"n\":2}", &[]).await;
    let _other_type = ask(&client, "alice", "{}", &[("accept", "text/event-stream")]).await;
    assert_eq!(fixture.asked(), 4);
}

#[tokio::test]
async fn after_a_kill_a_request_that_resumes_gets_what_there_is_of_the_answer() {
    let mut fixture = RestartFixture::new("key = \"body\"", "", "[routes.delivery]\nend = \"cut\"").await;
    let (id, url) = fixture.one_event("{}", &[]).await;

    fixture.restart("KILL").await;
    let resumed = ask(&fixture.client(), "alice", "{}", &[("last-event-id", &id)]).await;

    assert_eq!((resumed.url(), resumed.header("rillgate-resume")), (url.clone(), "gap;reason=upstream"));
    let text = resumed.whole().await;
    assert_eq!(data(&text), ["{\"status\":502,\"reason\":\"upstream_broken\"}"], "{text}");
    assert_eq!(fixture.asked(), 1);
    let new = ask(&fixture.client(), "alice", "{}", &[]).await;
    assert_ne!(new.url(), url);
    assert_eq!(fixture.asked(), 2, "a request without an id is a new one");
    fixture.producer.emit("new");
    fixture.producer.end();
    assert_eq!(data(&new.whole().await), ["new"]);

    // The newest answer counts, also if the one before has been read since.
    fixture.restart("TERM").await;
    let _before = request(&fixture.client(), Method::GET, "alice", &url, &[]).await.whole().await;
    let again = ask(&fixture.client(), "alice", "{}", &[]).await;
    assert_eq!(data(&again.whole().await), ["new"]);
    assert_eq!(fixture.asked(), 2);
}

#[tokio::test]
async fn after_a_kill_an_idempotent_producer_is_asked_again_for_a_request_that_resumes() {
    let mut fixture = RestartFixture::new("key = \"body\"\nretry = true", "", "").await;
    let (id, url) = fixture.one_event("{}", &[]).await;

    fixture.restart("KILL").await;
    let mut resumed = ask(&fixture.client(), "alice", "{}", &[("last-event-id", &id)]).await;

    assert_eq!(resumed.url(), url);
    fixture.producer.wait_asked(2).await;
    let asked = fixture.producer.asked();
    assert_eq!((&asked[0].body, &asked[0].target), (&asked[1].body, &asked[1].target));
    fixture.producer.emit("two");
    resumed.until("data: two").await;
    fixture.producer.end();
    let whole = request(&fixture.client(), Method::GET, "alice", &url, &[]).await.whole().await;
    assert_eq!(data(&whole), ["one", "two"], "the answer is complete now");
}

#[tokio::test]
async fn another_body_under_the_key_of_a_stored_answer_is_refused() {
    let key = ("idempotency-key", "1");
    let mut fixture = RestartFixture::new("key = \"header:Idempotency-Key\"", "", "").await;
    let (_, url) = fixture.one_event("{}", &[key]).await;
    fixture.producer.end();
    request(&fixture.client(), Method::GET, "alice", &url, &[]).await.whole().await;

    fixture.restart("TERM").await;
    let differs = ask(&fixture.client(), "alice", "[]", &[key]).await;
    let equal = ask(&fixture.client(), "alice", "{}", &[key]).await;

    assert_eq!(differs.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(differs.reason().await, "body_differs");
    assert_eq!(data(&equal.whole().await), ["one"]);
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test]
async fn an_answer_that_was_stopped_before_a_restart_is_not_the_answer_to_a_new_request() {
    let mut fixture = RestartFixture::new("key = \"body\"", "", "").await;
    let (_, url) = fixture.one_event("{}", &[]).await;
    let stopped = request(&fixture.client(), Method::DELETE, "alice", &url, &[]).await;
    assert_eq!(stopped.status, StatusCode::NO_CONTENT);

    fixture.restart("TERM").await;
    let new = ask(&fixture.client(), "alice", "{}", &[]).await;
    let stopped = request(&fixture.client(), Method::GET, "alice", &url, &[]).await.whole().await;

    assert_ne!(new.url(), url);
    assert_eq!(fixture.asked(), 2);
    assert_eq!(data(&stopped), ["one"], "{stopped}");
}

#[tokio::test]
async fn a_stored_answer_is_asked_for_again_once_it_is_too_old() {
    let mut fixture = RestartFixture::new("key = \"body\"", "age = \"2s\"", "").await;
    let (_, url) = fixture.one_event("{}", &[]).await;
    fixture.producer.end();
    request(&fixture.client(), Method::GET, "alice", &url, &[]).await.whole().await;

    fixture.restart("TERM").await;

    eventually(DEADLINE, || async {
        let answer = ask(&fixture.client(), "alice", "{}", &[]).await;
        assert_eq!(answer.url() == url, fixture.asked() == 1);
        fixture.asked() == 2
    })
    .await;
}
