//! The fake engine itself.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::*;
use crate::cluster::engine::{AppendError, AuthKey, AuthKind, Engine, EngineErrorKind, LogId};

const LOG: LogId = LogId([7; 16]);
const SECOND: Duration = Duration::from_secs(1);

fn record(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn kind(error: &AppendError) -> Option<EngineErrorKind> {
    match error {
        AppendError::Unknown(error) => Some(error.kind),
        AppendError::Refused => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_stored_after_the_last_one_only() {
    let cluster = FakeCluster::new(1);
    let (one, other) = (cluster.node(), cluster.node());
    let mut live = other.live(&LOG).await.expect("subscribed");

    assert_eq!(one.append(&LOG, 0, record("a")).await, Ok(1));
    assert_eq!(other.append(&LOG, 0, record("b")).await, Err(AppendError::Refused));
    assert_eq!(other.append(&LogId([8; 16]), 0, record("c")).await, Ok(2));
    assert_eq!(other.append(&LOG, 1, record("d")).await, Ok(3));

    let newest = one.newest(&LOG).await.expect("an answer").expect("a record");
    assert_eq!((newest.sequence, newest.payload), (3, record("d")));
    assert_eq!(one.since(&LOG, 2).await.expect("an answer").len(), 1);
    assert_eq!(one.newest_of(&[LOG, LogId([9; 16])]).await.expect("an answer").len(), 1);
    let (first, second) = (live.next().await.expect("a record"), live.next().await.expect("a record"));
    assert_eq!((first.record.sequence, first.previous), (1, 0));
    assert_eq!((second.record.sequence, second.previous), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_answer_is_lost_is_stored_and_one_whose_request_is_lost_is_not() {
    let cluster = FakeCluster::new(2);
    let node = cluster.node();
    cluster.set_faults(Faults { lost_answer: 1.0, ..Faults::default() });
    let error = node.append(&LOG, 0, record("a")).await.expect_err("no answer");
    assert_eq!(kind(&error), Some(EngineErrorKind::TimedOut));
    cluster.set_faults(Faults { lost_request: 1.0, ..Faults::default() });
    let error = node.append(&LOG, 1, record("b")).await.expect_err("no answer");
    assert_eq!(kind(&error), Some(EngineErrorKind::TimedOut));
    cluster.set_faults(Faults::default());

    assert_eq!(node.newest(&LOG).await.expect("an answer").expect("a record").payload, record("a"));
    assert_eq!(cluster.history(0).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_on_its_way_is_stored_though_its_sender_is_gone() {
    let cluster = FakeCluster::new(3);
    let node = cluster.node();
    cluster.set_faults(Faults { slow: 1.0, ..Faults::default() });
    assert!(timeout(SECOND / 2, node.append(&LOG, 0, record("a"))).await.is_err(), "it is slow");

    sleep(SECOND * 6).await;

    assert_eq!(cluster.history(0).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cut_gateway_is_disconnected_and_misses_what_is_sent() {
    let cluster = FakeCluster::new(4);
    let (one, cut) = (cluster.node(), cluster.node());
    let mut live = cut.live(&LOG).await.expect("subscribed");
    let mut state = cut.state();
    cluster.cut(1, Cut::Both, SECOND);
    let error = cut.newest(&LOG).await.expect_err("no answer");
    assert_eq!(error.kind, EngineErrorKind::TimedOut, "it has not noticed yet");
    let error = cut.newest(&LOG).await.expect_err("no connection");
    assert_eq!(error.kind, EngineErrorKind::Disconnected);
    assert!(!state.borrow_and_update().is_connected);
    assert_eq!(one.append(&LOG, 0, record("missed")).await, Ok(1));

    cluster.mend(1, SECOND);
    state.wait_for(|state| state.is_connected).await.expect("connected");
    assert_eq!(one.append(&LOG, 1, record("seen")).await, Ok(2));

    assert_eq!(state.borrow().connections, 2);
    assert_eq!(live.next().await.expect("a record").record.payload, record("seen"));
}

#[tokio::test(start_paused = true)]
async fn a_cut_inward_loses_answers_and_a_cut_outward_requests() {
    let cluster = FakeCluster::new(5);
    let node = cluster.node();
    cluster.cut(0, Cut::Inward, SECOND * 60);
    assert!(node.append(&LOG, 0, record("a")).await.is_err());
    cluster.mend(0, Duration::ZERO);
    cluster.cut(0, Cut::Outward, SECOND * 60);
    assert!(node.append(&LOG, 1, record("b")).await.is_err());
    cluster.mend(0, Duration::ZERO);

    assert_eq!(node.newest(&LOG).await.expect("an answer").expect("a record").sequence, 1);
}

#[tokio::test(start_paused = true)]
async fn a_deposed_leader_and_a_replica_lack_what_was_stored_last_and_a_forgotten_tail_is_gone() {
    let cluster = FakeCluster::new(6);
    let node = cluster.node();
    assert_eq!(node.append(&LOG, 0, record("a")).await, Ok(1));
    sleep(SECOND * 10).await;
    cluster.depose_leader(SECOND * 5);
    sleep(SECOND).await;
    assert_eq!(node.append(&LOG, 1, record("b")).await, Ok(2));
    let newest = async || node.newest(&LOG).await.expect("an answer").map(|newest| newest.sequence);
    assert_eq!(newest().await, Some(1));
    sleep(SECOND * 5).await;
    assert_eq!(newest().await, Some(2));
    assert_eq!(node.append(&LOG, 2, record("c")).await, Ok(3));
    cluster.set_faults(Faults { stale: 1.0, ..Faults::default() });
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.push(node.since(&LOG, 3).await.expect("an answer").len());
    }
    assert!(seen.contains(&0), "stale");

    cluster.forget(SECOND * 30);

    assert_eq!(newest().await, None);
    assert_eq!(node.append(&LOG, 0, record("d")).await, Ok(1), "sequences are used again");
    assert_eq!(cluster.history(0).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn beats_questions_and_phases_reach_the_others() {
    let cluster = FakeCluster::new(7);
    let (one, other) = (cluster.node(), cluster.node());
    let mut beats = other.live_beats().await.expect("subscribed");
    let mut questions = other.questions().await.expect("subscribed");
    let mut phases = other.live_phases(&LOG).await.expect("subscribed");

    assert_eq!(one.beat("one", record("1")).await, Ok(()));
    assert_eq!(beats.next().await, Some(("one".to_owned(), record("1"))));
    assert_eq!(other.beats().await, Ok(vec![("one".to_owned(), record("1"))]));
    let answering = async {
        let question = questions.next().await.expect("a question");
        other.answer(&question, record("yes")).await
    };
    let (answer, answered) = tokio::join!(one.ask(&LOG, record("anybody?"), SECOND), answering);
    assert_eq!((answer, answered), (Ok(Some(record("yes"))), Ok(())));
    assert_eq!(one.ask(&LOG, record("anybody?"), SECOND).await, Ok(None));
    assert_eq!(one.tell_phase(&LOG, record("live")).await, Ok(()));
    assert_eq!(phases.next().await, Some(record("live")));
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_replaced_at_its_sequence_and_removed_in_time() {
    let cluster = FakeCluster::new(8);
    let node = cluster.node();
    let key = AuthKey { kind: AuthKind::Ticket, name: [1; 32] };
    let mut live = node.live_auth(AuthKind::Ticket).await.expect("subscribed");

    assert_eq!(node.put(&key, Some(0), record("a"), SECOND * 9).await, Ok(1));
    assert_eq!(node.put(&key, Some(0), record("b"), SECOND * 9).await, Err(AppendError::Refused));
    assert_eq!(node.put(&key, Some(1), record("c"), SECOND * 9).await, Ok(2));

    assert_eq!(live.next().await.expect("a record").record.payload, record("a"));
    assert_eq!(node.get(&key).await.expect("an answer").expect("a ticket").payload, record("c"));
    assert_eq!(node.all(AuthKind::Ticket).await.expect("an answer").len(), 1);
    assert_eq!(node.all(AuthKind::Revocation).await.expect("an answer").len(), 0);
    sleep(SECOND * 10).await;
    assert_eq!(node.get(&key).await, Ok(None));
}
