//! A client's start position, and the verdict on it.

use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::origin::{Emission, Origin};
use crate::support::script::Cut;
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::DEADLINE;

/// An origin, a gateway with one route, and a resident client that shows what the gateway has received.
struct ResumeFixture {
    origin: Origin,
    gateway: Rillgate,
    resident: Subscription,
}

impl ResumeFixture {
    async fn new(route: &str) -> Self {
        let origin = Origin::start().await;
        let gateway = Rillgate::start(&plain(&origin.url(), route)).await;
        let resident = Client::http1(gateway.address()).subscribe("/a", &[]).await;
        Self { origin, gateway, resident }
    }

    /// Emits events with these ids, which are also their data, and waits until the gateway has them.
    async fn emit(&mut self, ids: &[&str]) {
        for id in ids {
            // One at a time: a short log evicts a burst before the resident has read it.
            self.origin.emit(Emission::event(id, "", id));
            while self.resident.next_event(DEADLINE).await.data != *id {}
        }
    }

    /// Subscribes over HTTP/1.1 and over HTTP/2.
    async fn both_protocols(&self, target: &str, headers: &[(&str, &str)]) -> [Subscription; 2] {
        let address = self.gateway.address();
        [
            Client::http1(address).subscribe(target, headers).await,
            Client::http2(address).subscribe(target, headers).await,
        ]
    }

    /// Asserts that clients of both protocols get `verdict`, the events `follow`, and then the next event.
    async fn expect(&mut self, target: &str, headers: &[(&str, &str)], verdict: &str, follow: &[&str]) {
        let mut clients = self.both_protocols(target, headers).await;
        for client in &mut clients {
            assert_eq!(client.header("rillgate-resume"), verdict);
            assert_eq!(data(client, follow.len()).await, follow, "{verdict}");
        }
        self.emit(&["next"]).await;
        for client in &mut clients {
            assert_eq!(data(client, 1).await, ["next"], "{verdict}");
            let told = client.comments().iter().filter(|comment| comment.contains(verdict)).count();
            assert_eq!(told, 1, "{:?}", client.comments());
        }
    }
}

async fn data(client: &mut Subscription, count: usize) -> Vec<String> {
    client.next_events(count).await.into_iter().map(|event| event.data).collect()
}

#[tokio::test]
async fn a_client_without_an_id_starts_live_and_learns_the_id_in_force() {
    let mut fixture = ResumeFixture::new("").await;
    fixture.emit(&["1", "2"]).await;

    for mut client in fixture.both_protocols("/a", &[]).await {
        client.next_comment("rillgate-resume: live", DEADLINE).await;
        assert_eq!(client.last_event_id(), "2");
    }
    fixture.expect("/a", &[], "live", &[]).await;
    fixture.expect("/a", &[("last-event-id", "")], "live", &[]).await;
}

#[tokio::test]
async fn a_client_without_an_id_starts_at_the_configured_position() {
    for (start, verdict, follow) in [
        ("oldest", "replay;missed=4", &["1", "2", "3", "4"][..]),
        ("last:1", "replay;missed=1", &["4"]),
        ("last:3", "replay;missed=3", &["2", "3", "4"]),
        ("last:99", "replay;missed=4", &["1", "2", "3", "4"]),
    ] {
        let mut fixture = ResumeFixture::new(&format!("[routes.replay]\nstart = \"{start}\"")).await;
        fixture.emit(&["1", "2", "3", "4"]).await;

        fixture.expect("/a", &[], verdict, follow).await;
    }
}

#[tokio::test]
async fn a_client_with_a_known_id_continues_after_it() {
    let mut fixture = ResumeFixture::new("").await;
    fixture.emit(&["1", "2", "3", "4", "a b&\u{20ac}"]).await;

    for mut client in fixture.both_protocols("/a", &[("last-event-id", "2")]).await {
        client.next_comment("rillgate-resume: resumed;missed=3", DEADLINE).await;
        assert_eq!(client.retries().len(), 1);
    }
    fixture.expect("/a", &[("last-event-id", "4")], "resumed;missed=1", &["a b&\u{20ac}"]).await;
    fixture.expect("/a?last_event_id=a+b%26%E2%82%AC", &[], "resumed;missed=1", &["next"]).await;
}

#[tokio::test]
async fn the_header_wins_over_the_configured_query_parameter() {
    let mut fixture = ResumeFixture::new("[routes.replay]\nquery_id = \"after\"").await;
    fixture.emit(&["1", "2", "3"]).await;

    fixture.expect("/a?after=1", &[("last-event-id", "2")], "resumed;missed=1", &["3"]).await;
    fixture.expect("/a?last_event_id=1", &[], "live", &[]).await;
    fixture.expect("/a?after=3", &[], "resumed;missed=2", &["next", "next"]).await;
}

#[tokio::test]
async fn an_id_older_than_the_log_is_a_gap() {
    for (on_gap, follow) in [("oldest", &["3", "4", "5"][..]), ("live", &[])] {
        let mut fixture = ResumeFixture::new(&format!("[routes.replay]\nevents = 3\non_gap = \"{on_gap}\"")).await;
        fixture.emit(&["1", "2", "3", "4", "5"]).await;

        fixture.expect("/a", &[("last-event-id", "1")], "gap;reason=evicted", follow).await;
    }
}

#[tokio::test]
async fn an_unknown_id_is_a_gap() {
    for (on_gap, follow) in [("oldest", &["1", "2"][..]), ("live", &[])] {
        let mut fixture = ResumeFixture::new(&format!("[routes.replay]\non_gap = \"{on_gap}\"")).await;
        fixture.emit(&["1", "2"]).await;

        fixture.expect("/a", &[("last-event-id", "9")], "gap;reason=unknown", follow).await;
    }
}

#[tokio::test]
async fn an_id_before_an_upstream_gap_gets_the_gap_in_the_header() {
    for form in ["off", "comment", "gap", "event"] {
        let mut fixture = ResumeFixture::new(&format!("[routes.replay]\nverdict = \"{form}\"")).await;
        fixture.emit(&["1", "2"]).await;
        fixture.origin.cut(Cut::Fin);
        fixture.origin.wait_open(1).await;
        fixture.emit(&["9"]).await;

        for mut client in fixture.both_protocols("/a", &[("last-event-id", "1")]).await {
            assert_eq!(client.header("rillgate-resume"), "gap;reason=upstream", "{form}");
            for (data, id) in [("2", "2"), ("9", "9")] {
                let mut event = client.next_event(DEADLINE).await;
                while event.kind == "rillgate.resume" {
                    event = client.next_event(DEADLINE).await;
                }
                assert_eq!((event.data.as_str(), event.last_event_id.as_str()), (data, id), "{form}");
            }
        }
        for client in fixture.both_protocols("/a", &[("last-event-id", "9")]).await {
            assert_eq!(client.header("rillgate-resume"), "resumed;missed=0", "{form}: the id is after the gap");
        }
    }
}

#[tokio::test]
async fn a_generated_id_of_an_earlier_epoch_is_a_gap() {
    let route = "[routes.replay]\nids = \"replace\"\nevents = 2\n[routes.delivery]\nlinger = \"1ms\"";
    let ResumeFixture { origin, gateway, mut resident } = ResumeFixture::new(route).await;
    origin.emit(Emission::event("1", "", "1"));
    let minted = resident.next_event(DEADLINE).await.last_event_id;
    for id in ["2", "3", "4"] {
        origin.emit(Emission::event(id, "", id));
        assert_eq!(data(&mut resident, 1).await, [id]);
    }
    let client = Client::http1(gateway.address());
    let evicted = client.subscribe("/a", &[("last-event-id", &minted)]).await;
    assert_eq!(evicted.header("rillgate-resume"), "gap;reason=evicted");

    drop((resident, evicted));
    origin.wait_open(0).await;
    let mut fixture = ResumeFixture { resident: client.subscribe("/a", &[]).await, origin, gateway };

    fixture.emit(&["5"]).await;
    fixture.expect("/a", &[("last-event-id", &minted)], "gap;reason=restarted", &["5"]).await;
}

#[tokio::test]
async fn ids_are_kept_filled_or_replaced() {
    for ids in ["keep", "fill", "replace"] {
        let mut fixture = ResumeFixture::new(&format!("[routes.replay]\nids = \"{ids}\"")).await;
        fixture.origin.emit("data: none\n\n");
        fixture.origin.emit("id: 7\ndata: own\n\n");
        fixture.origin.emit("data: in force\n\n");
        let seen: Vec<_> = fixture.resident.next_events(3).await.into_iter().map(|event| event.last_event_id).collect();
        let minted = |id: &str| id.len() > 17 && id.contains('-');

        match ids {
            "keep" => assert_eq!(seen, ["", "7", "7"]),
            // Each event without an id gets one, even after an event with an id. Otherwise a client could not name it.
            "fill" => assert!(minted(&seen[0]) && seen[1] == "7" && minted(&seen[2]), "{seen:?}"),
            _ => assert!(seen.iter().all(|id| minted(id)) && seen[0] != seen[1], "{seen:?}"),
        }
        if ids != "keep" {
            fixture.expect("/a", &[("last-event-id", &seen[0])], "resumed;missed=2", &["own", "in force"]).await;
        }
        if ids == "replace" {
            let follow = ["none", "own", "in force", "next"];
            fixture.expect("/a", &[("last-event-id", "7")], "gap;reason=unknown", &follow).await;
        }
    }
}

#[tokio::test]
async fn an_id_that_occurs_twice_means_its_oldest_occurrence() {
    let mut fixture = ResumeFixture::new("").await;
    fixture.origin.emit("id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 1\ndata: c\n\n");
    fixture.emit(&["3"]).await;

    fixture.expect("/a", &[("last-event-id", "1")], "resumed;missed=3", &["b", "c", "3"]).await;
}

#[tokio::test]
async fn an_id_without_an_event_is_a_resume_point() {
    let mut fixture = ResumeFixture::new("").await;
    fixture.origin.emit("id: 1\ndata: a\n\nid: 2\n\ndata: b\n\n");
    fixture.emit(&["3"]).await;

    fixture.expect("/a", &[("last-event-id", "2")], "resumed;missed=2", &["b", "3"]).await;
}

#[tokio::test]
async fn a_lagged_reader_ends_or_skips_as_configured() {
    for lagged in ["disconnect", "skip"] {
        let route = format!("[routes.replay]\nevents = 5\n[routes.delivery]\nlagged = \"{lagged}\"");
        let mut fixture = ResumeFixture::new(&route).await;
        let slow = Client::http2(fixture.gateway.address()).window(16 * 1024);
        let mut slow = slow.subscribe("/a", &[]).await;
        let filling = "x".repeat(4_000);

        // One at a time, so that the resident does not lag too.
        for number in 1..=100 {
            let id = number.to_string();
            fixture.origin.emit(Emission::event(&id, "", &format!("{id}{filling}")));
            assert_eq!(fixture.resident.next_event(DEADLINE).await.last_event_id, id);
        }

        let mut seen: Vec<usize> = Vec::new();
        if lagged == "skip" {
            while seen.last() != Some(&100) {
                seen.push(slow.next_event(DEADLINE).await.last_event_id.parse().unwrap());
            }
            // On a busy machine the client may lag more than once, even before it has read anything after a jump. Each
            // jump must be reported, and one jump may be reported in several steps.
            let told =
                slow.comments().iter().filter(|comment| *comment == " rillgate-resume: gap;reason=lagged").count();
            seen.insert(0, 0);
            let jumps = seen.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
            assert!(seen.is_sorted() && jumps >= 1, "{seen:?}");
            assert!(told >= jumps, "{told} gaps were reported: {seen:?}");
        } else {
            let events = slow.expect_end(DEADLINE).await;
            seen.extend(events.iter().map(|event| event.last_event_id.parse::<usize>().unwrap()));
            assert!(seen.len() < 90 && seen.iter().copied().eq(1..=seen.len()), "{seen:?}");
        }
    }
}

#[tokio::test]
async fn a_verdict_is_sent_in_the_configured_form() {
    for verdict in ["off", "comment", "gap", "event"] {
        let mut fixture = ResumeFixture::new(&format!("[routes.replay]\nverdict = \"{verdict}\"")).await;
        fixture.emit(&["1", "2"]).await;

        for (id, text, json) in [
            ("", "live", r#"{"resume":"live"}"#),
            ("1", "resumed;missed=1", r#"{"resume":"resumed","missed":1}"#),
            ("9", "gap;reason=unknown", r#"{"resume":"gap","reason":"unknown"}"#),
        ] {
            let is_event = verdict == "event" || (verdict == "gap" && id == "9");
            for mut client in fixture.both_protocols("/a?limit=1", &[("last-event-id", id)]).await {
                assert_eq!(client.header("rillgate-resume"), text);
                if is_event {
                    let told = client.next_event(DEADLINE).await;
                    assert_eq!((told.kind.as_str(), told.data.as_str()), ("rillgate.resume", json));
                    assert_eq!(
                        told.last_event_id,
                        if id == "1" {
                            "1"
                        } else if id.is_empty() {
                            "2"
                        } else {
                            ""
                        }
                    );
                } else if !id.is_empty() {
                    assert_eq!(client.next_event(DEADLINE).await.kind, "message");
                } else {
                    client.next_comment("rillgate", DEADLINE).await;
                    continue;
                }
                let comment = format!(" rillgate-resume: {text}");
                let is_told = client.comments().contains(&comment);
                assert_eq!(is_told, verdict == "comment" || verdict == "gap", "{verdict}, {text}");
            }
        }
    }
}
