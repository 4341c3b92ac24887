//! Ids in every form that producers write and clients send back, over both protocols.
//!
//! A client sends its position as the bytes that its library makes of the id. Events that it misses must be reported as
//! a gap, and it must never be treated as a new client.

use std::collections::BTreeSet;

use crate::support::client::{Client, Connection, Protocol};
use crate::support::config::plain;
use crate::support::event_source::Event;
use crate::support::origin::{Emission, Origin};
use crate::support::script::Cut;
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, within};

/// A form of ids, as a producer writes them and as a client sends the last one back.
struct Form {
    name: &'static str,
    /// The text before the event's number.
    before: String,
    /// The text after the event's number.
    after: &'static str,
    sent: Sent,
}

enum Sent {
    /// The bytes of the id in a header; HTTP trims spaces.
    Bytes,
    /// Latin-1 in a header, as Node's fetch and Python's requests send it.
    Latin1,
    /// A query parameter, with a NUL after the id.
    ParameterWithNul,
}

fn forms() -> Vec<Form> {
    let form = |name, before: &str, after, sent| Form { name, before: before.to_owned(), after, sent };
    vec![
        form("ASCII", "e-", "", Sent::Bytes),
        form("UTF-8", "\u{20ac}\u{1f600}-", "", Sent::Bytes),
        form("Latin-1", "caf\u{e9}-", "", Sent::Latin1),
        form("outer spaces", " ", " ", Sent::Bytes),
        form("8 KiB", &"i".repeat(8 << 10), "", Sent::Bytes),
        form("20 KiB", &"i".repeat(20 << 10), "", Sent::Bytes),
        form("NUL in the parameter", "e-", "", Sent::ParameterWithNul),
    ]
}

impl Form {
    fn event(&self, number: u32) -> Emission {
        Emission::event(&format!("{}{number}{}", self.before, self.after), "", &number.to_string())
    }

    /// Subscribes as a returning client whose last event id is `id`.
    async fn resume(&self, connection: &mut Connection, id: &str) -> Subscription {
        let bytes = match self.sent {
            Sent::Bytes => id.trim().as_bytes().to_vec(),
            Sent::Latin1 => id.chars().map(|c| u8::try_from(c).expect("a character of Latin-1")).collect(),
            Sent::ParameterWithNul => {
                let target = format!("/a?last_event_id={id}%00");
                return connection.subscribe(&target, &[]).await;
            }
        };
        let headers = [("last-event-id", bytes.as_slice())];
        within(DEADLINE, "answer", connection.try_request_in_bytes("GET", "/a", &headers)).await.unwrap()
    }
}

/// The events of 1 to 10 that one client has received, over one or more responses.
#[derive(Default)]
struct Seen {
    numbers: BTreeSet<u32>,
    is_gap_reported: bool,
    /// The first word of each returning response's verdict.
    verdicts: Vec<String>,
}

impl Seen {
    /// Reads up to and including this event.
    async fn read(&mut self, response: &mut Subscription, last: u32) -> Event {
        loop {
            let event = response.next_event(DEADLINE).await;
            let number = event.data.parse().unwrap();
            self.numbers.insert(number);
            self.is_gap_reported |= response.comments().iter().any(|comment| comment.contains("rillgate-resume: gap"));
            if number == last {
                return event;
            }
        }
    }

    fn assert_no_silent_loss(&self, what: &str) {
        let lost: Vec<u32> = (1..=10).filter(|number| !self.numbers.contains(number)).collect();
        assert!(lost.is_empty() || self.is_gap_reported, "{what}: {lost:?} were lost without a reported gap");
        for verdict in &self.verdicts {
            assert!(["resumed", "gap"].contains(&verdict.as_str()), "{what}: {verdict} for a client that sent an id");
        }
    }
}

async fn start() -> (Origin, Rillgate) {
    let origin = Origin::start().await;
    origin.honour_last_event_id();
    let config = plain(&origin.url(), "").replace("[limits]", "[limits]\nheader_bytes = \"32KiB\"");
    let gateway = Rillgate::start(&config).await;
    (origin, gateway)
}

#[tokio::test]
async fn a_returning_client_loses_nothing_silently_with_any_form_of_id() {
    for form in forms() {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let (origin, gateway) = start().await;
            let client = Client::new(protocol, gateway.address());
            let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
            let mut response = client.subscribe("/a", &[]).await;
            origin.wait_open(1).await;
            origin.emit_together((1..=5).map(|number| form.event(number)));
            let mut seen = Seen::default();
            let last = seen.read(&mut response, 5).await;
            drop(response);
            origin.emit_together((6..=8).map(|number| form.event(number)));
            reader.next_events(8).await;

            let mut response = form.resume(&mut client.connect().await.unwrap(), &last.last_event_id).await;
            origin.emit_together((9..=10).map(|number| form.event(number)));

            let what = format!("{} over {protocol:?}", form.name);
            assert_eq!(response.status, 200, "{what}");
            seen.verdicts.push(response.header("rillgate-resume").split(';').next().unwrap().to_owned());
            seen.is_gap_reported |= response.header("rillgate-resume").starts_with("gap");
            seen.read(&mut response, 10).await;
            seen.assert_no_silent_loss(&what);
        }
    }
}

#[tokio::test]
async fn a_reconnecting_gateway_loses_nothing_silently_with_any_form_of_id() {
    for form in forms() {
        let (origin, gateway) = start().await;
        let clients = [Client::http1(gateway.address()), Client::http2(gateway.address())];
        let mut responses = [clients[0].subscribe("/a", &[]).await, clients[1].subscribe("/a", &[]).await];
        let mut seen = [Seen::default(), Seen::default()];
        origin.wait_open(1).await;
        origin.emit_together((1..=5).map(|number| form.event(number)));
        for (seen, response) in seen.iter_mut().zip(&mut responses) {
            seen.read(response, 5).await;
        }

        origin.cut(Cut::Reset);
        origin.emit_together((6..=8).map(|number| form.event(number)));
        origin.wait_open(1).await;
        origin.emit_together((9..=10).map(|number| form.event(number)));

        for (seen, response) in seen.iter_mut().zip(&mut responses) {
            seen.read(response, 10).await;
            seen.assert_no_silent_loss(form.name);
        }
    }
}
