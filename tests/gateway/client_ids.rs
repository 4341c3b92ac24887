//! Ids as producers write them, sent back by real clients.
//!
//! Clients of fetch in Node.js send an id in Latin-1, and HTTP strips spaces around it. `last_event_ids.rs` tests the
//! exact bytes; this file tests the libraries that send them.

use crate::clients::{EVENTSOURCE, EVENTSOURCE_PARSER, FETCH_EVENT_SOURCE};
use crate::failover_fixture::FailoverFixture;
use crate::support::adapter::Adapter;
use crate::support::figures::wait_metric;
use crate::support::network::Network;
use crate::support::origin::Emission;

/// The number of times that each client's connection is cut.
const CUTS: usize = 3;

#[tokio::test]
async fn eventsource_misses_no_event_with_any_form_of_id() {
    misses_nothing(&EVENTSOURCE, &ids()).await;
}

#[tokio::test]
async fn fetch_event_source_misses_no_event_with_any_form_of_id() {
    misses_nothing(&FETCH_EVENT_SOURCE, &ids()).await;
}

#[tokio::test]
async fn eventsource_parser_misses_no_event_with_any_form_of_id() {
    misses_nothing(&EVENTSOURCE_PARSER, &ids()).await;
}

/// Returns the forms of ids, as the text before and after the event's number.
fn ids() -> [(String, String); 6] {
    let form = |before: &str, after: &str| (before.to_owned(), after.to_owned());
    [
        form("", ""),
        form("caf\u{e9}-", ""),
        form(" ", ""),
        form("  a b ", " "),
        (format!("{}-", "k".repeat(8 << 10)), String::new()),
        (format!("{}-", "k".repeat(20 << 10)), String::new()),
    ]
}

/// Cuts the client's connection [`CUTS`] times. It must resume each time and get every event once and in order.
async fn misses_nothing(client: &Adapter, ids: &[(String, String)]) {
    for (before, after) in ids {
        let mut fixture = FailoverFixture::new("auth = \"public\"").await;
        fixture.config = format!("{}\n[limits]\nheader_bytes = \"64KiB\"", fixture.config);
        let gateway = fixture.start().await;
        let network = Network::to(fixture.address).await;
        fixture.address = network.address();
        let running = fixture.follow(client, "", None);
        wait_metric(&gateway, "subscribers", &[], 1.0).await;
        fixture.auth.origin.wait_open(1).await;
        let emit = |number: usize| {
            let text = format!("id: {before}{number}{after}\ndata: {number}\n\n");
            fixture.auth.origin.emit(Emission::from(text.as_str()));
        };
        emit(0);
        running.wait_events(1).await;

        for cut in 1..=CUTS {
            network.cut();
            emit(2 * cut - 1);
            running.wait_lost(cut).await;
            wait_metric(&gateway, "subscriptions_total", &["verdict=\"resumed\""], cut as f64).await;
            emit(2 * cut);
            running.wait_events(2 * cut + 1).await;
        }

        let data: Vec<_> = running.events().into_iter().map(|event| event.data).collect();
        let expected: Vec<_> = (0..=2 * CUTS).map(|number| number.to_string()).collect();
        assert_eq!(data, expected, "{} with ids like {:.20}{after}", client.name, before);
    }
}
