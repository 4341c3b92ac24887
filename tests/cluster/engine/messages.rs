//! Beats, questions and phases.

use std::time::Duration;

use rillgate::cluster::Engine;

use super::fixture::{Running, bytes, log, next, settings};
use crate::support::nats::NatsServer;
use crate::support::wait::DEADLINE;

#[tokio::test]
async fn beats_replace_each_other_and_are_heard_by_all() {
    let server = NatsServer::start().await;
    let one = Running::connected(settings(&[server.url()])).await;
    let two = Running::connected(settings(&[server.url()])).await;
    let mut heard = two.live_beats().await.unwrap();

    one.beat("a", bytes("1")).await.unwrap();
    one.beat("a", bytes("2")).await.unwrap();
    two.beat("b", bytes("3")).await.unwrap();

    for (node, beat) in [("a", "1"), ("a", "2"), ("b", "3")] {
        assert_eq!(next(&mut heard).await, (node.to_owned(), bytes(beat)));
    }
    let mut last = one.beats().await.unwrap();
    last.sort();
    assert_eq!(last, [("a".to_owned(), bytes("2")), ("b".to_owned(), bytes("3"))]);
}

#[tokio::test]
async fn the_first_answer_to_a_question_counts() {
    let server = NatsServer::start().await;
    let asking = Running::connected(settings(&[server.url()])).await;
    let answering = Running::connected(settings(&[server.url()])).await;
    let mut questions = answering.questions().await.unwrap();

    let answer = asking.ask(&log(1), bytes("who?"), DEADLINE);
    let answered = async {
        let question = next(&mut questions).await;
        assert_eq!((question.log, &question.payload), (log(1), &bytes("who?")));
        answering.answer(&question, bytes("me")).await.unwrap();
        answering.answer(&question, bytes("me too")).await.unwrap();
    };

    assert_eq!(tokio::join!(answer, answered).0.unwrap(), Some(bytes("me")));
}

#[tokio::test]
async fn a_question_without_an_answer_ends_in_time() {
    let server = NatsServer::start().await;
    let engine = Running::connected(settings(&[server.url()])).await;

    assert_eq!(engine.ask(&log(1), bytes("anyone?"), DEADLINE).await.unwrap(), None, "nobody hears it");
    let _questions = engine.questions().await.unwrap();
    let answer = engine.ask(&log(1), bytes("anyone?"), Duration::from_millis(50)).await.unwrap();

    assert_eq!(answer, None, "it is heard and not answered");
}

#[tokio::test]
async fn phases_reach_those_who_follow_the_stream() {
    let server = NatsServer::start().await;
    let engine = Running::connected(settings(&[server.url()])).await;
    let mut phases = engine.live_phases(&log(1)).await.unwrap();

    engine.tell_phase(&log(2), bytes("another's")).await.unwrap();
    engine.tell_phase(&log(1), bytes("retrying")).await.unwrap();

    assert_eq!(next(&mut phases).await, bytes("retrying"));
}
