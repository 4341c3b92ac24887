//! A client behind the gateway dispatches the same events as one that is connected directly, for every case of the
//! corpus and every protocol.

use std::sync::Arc;

use url::form_urlencoded::byte_serialize;

use crate::corpus::reference::{Dispatched, dispatch, interpret};
use crate::corpus::{Case, cases};
use crate::support::client::Client;
use crate::support::event_source::Event;
use crate::support::origin::Origin;
use crate::support::script::{Answer, Cut};
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::DEADLINE;

/// Starts an origin that sends case N as one chunk on `/whole/N` and byte by byte on `/bytes/N`; both stay open.
async fn origin_of(cases: &Arc<Vec<Case>>) -> Origin {
    let cases = cases.clone();
    Origin::start_with(move |request| {
        let (way, number) = request.target[1..].split_once('/').unwrap();
        let bytes = &cases[number.parse::<usize>().unwrap()].bytes;
        match way {
            "bytes" => bytes.iter().fold(Answer::stream(), |answer, &byte| answer.then(vec![byte])),
            _ => Answer::stream().then(bytes.clone()),
        }
    })
    .await
}

async fn gateway_of(origin: &Origin) -> Rillgate {
    Rillgate::start(&format!(
        r#"
        [[listeners]]
        address = "127.0.0.1:0"
        [limits]
        connections_per_ip = 10000
        subscriptions_per_ip = 10000
        header_timeout = "60s"
        [upstreams.origin]
        urls = ["{}"]
        [[routes]]
        name = "cases"
        path = "/case/{{way}}/{{number}}"
        upstream_path = "/{{way}}/{{number}}"
        upstream = "origin"
        auth = "public"
        on_end = "complete"
        [routes.replay]
        start = "oldest"
        events = 100000
        "#,
        origin.url()
    ))
    .await
}

fn as_dispatched(events: Vec<Event>) -> Vec<Dispatched> {
    let event = |Event { kind, data, last_event_id }| Dispatched { kind, data, last_event_id };
    events.into_iter().map(event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_corpus_case_is_dispatched_as_on_a_direct_connection() {
    let cases = Arc::new(cases());
    assert!(cases.len() > 200);
    let origin = origin_of(&cases).await;
    let gateway = gateway_of(&origin).await;
    let http1 = Client::http1(gateway.address());
    let mut http2 = Client::http2(gateway.address()).connect().await.unwrap();
    let mut clients: Vec<(String, usize, Subscription)> = Vec::new();
    for number in 0..cases.len() {
        for way in ["whole", "bytes"] {
            let client = http1.subscribe(&format!("/case/{way}/{number}"), &[]).await;
            clients.push((format!("HTTP/1.1, {way}"), number, client));
        }
        clients.push(("HTTP/2".into(), number, http2.subscribe(&format!("/case/whole/{number}"), &[]).await));
    }

    let mut seen = Vec::new();
    for (way, number, client) in &mut clients {
        let expected = dispatch(&cases[*number].bytes);
        let events = as_dispatched(client.next_events(expected.len()).await);
        assert_eq!(events, expected, "{way}: {}", cases[*number].name);
        seen.push(events.len());
    }
    // The last single bytes may still be in transit to the gateway. The end is sent after them.
    origin.cut(Cut::End);

    for (way, number, client) in &mut clients {
        assert_eq!(client.expect_end(DEADLINE).await, [], "{way}: {}", cases[*number].name);
    }
    assert!(seen.iter().sum::<usize>() > 3 * 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resuming_after_any_id_of_the_corpus_yields_only_later_events() {
    let cases = Arc::new(cases());
    let origin = origin_of(&cases).await;
    let gateway = gateway_of(&origin).await;
    let http1 = Client::http1(gateway.address());
    let mut http2 = Client::http2(gateway.address()).connect().await.unwrap();
    for number in 0..cases.len() {
        let mut first = http1.subscribe(&format!("/case/whole/{number}"), &[]).await;
        first.next_events(dispatch(&cases[number].bytes).len()).await;
        // The origin's end completes the stream: the log stays, and every later response is finite.
        origin.cut(Cut::End);
        first.expect_end(DEADLINE).await;
    }

    let mut resumed = 0;
    for (number, case) in cases.iter().enumerate() {
        for (id, later) in resume_points(&case.bytes) {
            let id_in_query: String = byte_serialize(id.as_bytes()).collect();
            let path = format!("/case/whole/{number}?last_event_id={id_in_query}");
            let mut clients = [http1.subscribe(&path, &[]).await, http2.subscribe(&path, &[]).await];
            for client in &mut clients {
                let context = format!("{}, after {id:?}", case.name);
                if later.is_empty() && client.status.as_u16() == 204 {
                    continue;
                }
                assert_eq!(client.header("rillgate-resume"), format!("resumed;missed={}", later.len()), "{context}");
                assert_eq!(as_dispatched(client.expect_end(DEADLINE).await), later, "{context}");
            }
            resumed += 1;
        }
    }
    assert!(resumed > 50, "only {resumed} resume points");
}

/// Returns every id that is ever in force, and the events after its oldest occurrence.
fn resume_points(bytes: &[u8]) -> Vec<(String, Vec<Dispatched>)> {
    let mut places: Vec<(String, Vec<Dispatched>)> = Vec::new();
    // The reference parser starts from the beginning for each point, which is too slow for the long cases.
    if bytes.len() > 8 * 1024 {
        return places;
    }
    let whole = dispatch(bytes);
    for (at, byte) in bytes.iter().enumerate() {
        if !matches!(byte, b'\n' | b'\r') {
            continue;
        }
        let so_far = interpret(&bytes[..=at]);
        let id = so_far.last_event_id;
        if !id.is_empty() && places.iter().all(|(known, _)| *known != id) {
            places.push((id, whole[so_far.dispatched.len()..].to_vec()));
        }
    }
    places
}
