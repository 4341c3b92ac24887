//! `upstreams.NAME.overlap = 1`: a reconnect asks for the last event again, which proves that nothing is missing.

use crate::support::client::Client;
use crate::support::origin::{Emission, Origin};
use crate::support::script::Cut;
use crate::support::setup::{Setup, both_protocols};
use crate::support::subscription::Subscription;
use crate::support::wait::DEADLINE;

fn setup(origin: &Origin) -> Setup {
    Setup::for_origin(&origin.url()).upstream("overlap = 1\nbackoff = { initial = \"20ms\", max = \"50ms\" }")
}

async fn emit_to(origin: &Origin, clients: &mut [Subscription], number: usize) {
    let number = number.to_string();
    origin.emit(Emission::event(&number, "", &number));
    for client in clients {
        assert_eq!(client.next_event(DEADLINE).await.data, number);
    }
}

fn told_gaps(client: &Subscription) -> usize {
    client.comments().iter().filter(|comment| comment.contains("gap")).count()
}

#[tokio::test]
async fn a_producer_that_resumes_causes_no_gap_at_any_failover() {
    let origin = Origin::start().await;
    origin.honour_last_event_id();
    let gateway = setup(&origin).start().await;
    let mut clients = Vec::new();
    for client in both_protocols(&gateway, None) {
        clients.push(client.subscribe("/prices", &[]).await);
    }
    emit_to(&origin, &mut clients, 1).await;
    emit_to(&origin, &mut clients, 2).await;

    for (failover, cut) in [Cut::End, Cut::Fin, Cut::Reset, Cut::TruncatedChunk].into_iter().enumerate() {
        origin.cut(cut);
        // Said while the gateway is away.
        emit_to(&origin, &mut clients, 3 + 2 * failover).await;
        origin.wait_open(1).await;
        emit_to(&origin, &mut clients, 4 + 2 * failover).await;
    }

    let asked: Vec<_> = origin.requests().iter().map(|request| request.last_event_id().map(str::to_owned)).collect();
    assert_eq!(asked, [None, Some("1"), Some("3"), Some("5"), Some("7")].map(|id| id.map(str::to_owned)));
    assert!(clients.iter().all(|client| told_gaps(client) == 0));
    let resumed = Client::http1(gateway.address()).subscribe("/prices", &[("last-event-id", "1")]).await;
    assert_eq!(resumed.header("rillgate-resume"), "resumed;missed=9");
}

#[tokio::test]
async fn a_producer_that_does_not_resume_still_causes_a_gap() {
    let origin = Origin::start().await;
    let gateway = setup(&origin).start().await;
    let mut clients = [Client::http1(gateway.address()).subscribe("/prices", &[]).await];
    emit_to(&origin, &mut clients, 1).await;
    emit_to(&origin, &mut clients, 2).await;

    origin.cut(Cut::Fin);
    origin.wait_open(1).await;
    emit_to(&origin, &mut clients, 4).await;

    assert_eq!(origin.requests()[1].last_event_id(), Some("1"));
    assert_eq!(told_gaps(&clients[0]), 1);
}
