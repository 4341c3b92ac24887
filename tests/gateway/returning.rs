//! Clients that return while the upstream refuses to reconnect a stream that was live.

use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::origin::{Emission, Origin};
use crate::support::script::{Answer, Cut};
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::DEADLINE;

type MakeAnswer = fn() -> Answer;

const ANSWERS: [(&str, MakeAnswer); 6] = [
    ("404", || Answer::status(404)),
    ("401", || Answer::status(401)),
    ("403", || Answer::status(403)),
    ("429", || Answer::status(429)),
    ("a page", || Answer::status(200).header("content-type", "text/html").then("hi")),
    ("a redirect", || Answer::status(302).header("location", "https://login.example/")),
];

/// Starts a stream with the event 1 in its log, whose upstream then answers every reconnect with `answer`.
async fn live_then_refused(answer: MakeAnswer, route: &str) -> (Origin, Rillgate, Subscription) {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), route)).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    origin.emit(Emission::event("1", "", "1"));
    reader.next_event(DEADLINE).await;
    origin.answer(move |_| answer());
    origin.cut(Cut::Fin);
    // A second request after the cut means that the gateway has handled the answer to the first.
    origin.wait_requests(3).await;
    (origin, gateway, reader)
}

#[tokio::test]
async fn clients_of_a_live_stream_are_held_while_its_upstream_refuses() {
    for (what, answer) in ANSWERS {
        let (origin, gateway, _reader) = live_then_refused(answer, "").await;

        let mut returning = Vec::new();
        for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
            let client = client.subscribe("/a", &[("last-event-id", "1")]).await;
            assert_eq!(client.status.as_u16(), 200, "{what}");
            assert_eq!(client.header("rillgate-resume"), "resumed;missed=0", "{what}");
            returning.push(client);
        }
        let first_open = Client::http1(gateway.address()).subscribe("/b", &[]).await.status.as_u16();
        assert_ne!(first_open, 200, "{what}: the client that opens a stream must get the refusal");
        origin.welcome();
        origin.wait_open(1).await;
        origin.emit(Emission::event("2", "", "2"));

        for client in &mut returning {
            assert_eq!(client.next_event(DEADLINE).await.data, "2", "{what}");
        }
    }
}

#[tokio::test]
async fn when_down_refuse_never_passes_on_a_reconnect_s_status() {
    for (what, answer) in ANSWERS {
        let (_origin, gateway, _reader) = live_then_refused(answer, "[routes.delivery]\nwhen_down = \"refuse\"").await;

        let refused = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "1")]).await;

        assert_eq!(refused.status.as_u16(), 503, "{what}");
    }
}
