//! Logs: conditional appends and the ways to read them.

use std::collections::HashMap;

use futures_util::StreamExt;
use futures_util::stream;
use rillgate::cluster::{AppendError, Engine, LiveRecord, Stored};

use super::fixture::{Running, bytes, log, next, settings};
use crate::support::nats::NatsServer;

#[tokio::test]
async fn an_append_is_conditional_on_the_last_record_of_its_log() {
    let server = NatsServer::start().await;
    let engine = Running::connected(settings(&[server.url()])).await;

    let first = engine.append(&log(1), 0, bytes("one")).await.unwrap();
    let other = engine.append(&log(2), 0, bytes("other")).await.unwrap();
    let second = engine.append(&log(1), first, bytes("two")).await.unwrap();

    assert!(first < other && other < second);
    for stale in [0, first, other] {
        assert_eq!(engine.append(&log(1), stale, bytes("late")).await, Err(AppendError::Refused), "after {stale}");
    }
    let newest = engine.newest(&log(1)).await.unwrap();
    assert_eq!(newest, Some(Stored { sequence: second, payload: bytes("two") }));
    assert_eq!(engine.newest(&log(3)).await.unwrap(), None);
}

#[tokio::test]
async fn ten_thousand_records_are_read_in_order_from_any_on() {
    let server = NatsServer::start().await;
    let engine = Running::connected(settings(&[server.url()])).await;
    let mut sequences = Vec::new();
    for number in 0..10_000 {
        let after = sequences.last().copied().unwrap_or(0);
        sequences.push(engine.append(&log(1), after, bytes(&number.to_string())).await.unwrap());
    }

    let all = engine.since(&log(1), 0).await.unwrap();
    let tail = engine.since(&log(1), sequences[9_990]).await.unwrap();

    assert_eq!(all.iter().map(|stored| stored.sequence).collect::<Vec<_>>(), sequences);
    assert!(all.iter().enumerate().all(|(number, stored)| stored.payload == number.to_string()));
    assert_eq!(tail, all[9_990..]);
    assert_eq!(engine.since(&log(1), sequences[9_999] + 1).await.unwrap(), []);
    assert_eq!(engine.since(&log(2), 0).await.unwrap(), []);
}

#[tokio::test]
async fn the_newest_of_ten_thousand_logs_come_at_once() {
    let server = NatsServer::start().await;
    let engine = Running::connected(settings(&[server.url()])).await;
    let logs: Vec<_> = (0..10_000).map(log).collect();
    let written: HashMap<_, _> = stream::iter(&logs)
        .map(|id| async {
            let first = engine.append(id, 0, bytes("old")).await.unwrap();
            (*id, engine.append(id, first, bytes(&id.to_string())).await.unwrap())
        })
        .buffer_unordered(256)
        .collect()
        .await;

    let asked: Vec<_> = (0..10_001).map(log).collect();
    let newest: HashMap<_, _> = engine.newest_of(&asked).await.unwrap().into_iter().collect();

    assert_eq!(newest.len(), 10_000, "each log that has records, and no other");
    for (id, sequence) in written {
        assert_eq!(newest[&id], Stored { sequence, payload: bytes(&id.to_string()) });
    }
}

#[tokio::test]
async fn large_records_are_read_in_several_answers() {
    let server = NatsServer::start().await;
    let engine = Running::connected(settings(&[server.url()])).await;
    let payload = vec![b'x'; engine.max_record()];
    let mut last = 0;
    for _ in 0..40 {
        last = engine.append(&log(1), last, payload.clone().into()).await.unwrap();
    }
    for number in 2..30 {
        engine.append(&log(number), 0, payload.clone().into()).await.unwrap();
    }

    // A long answer may end early on a busy machine.
    let mut since = Vec::<Stored>::new();
    while since.last().is_none_or(|newest| newest.sequence < last) {
        let from = since.last().map_or(0, |newest| newest.sequence + 1);
        let page = engine.since(&log(1), from).await.unwrap();
        assert!(!page.is_empty(), "nothing from {from} on");
        since.extend(page);
    }
    let newest = engine.newest_of(&(1..30).map(log).collect::<Vec<_>>()).await.unwrap();

    assert_eq!(since.len(), 40);
    assert_eq!(newest.len(), 29);
}

#[tokio::test]
async fn followers_get_what_is_stored_with_the_sequence_before_it() {
    let server = NatsServer::start().await;
    let writer = Running::connected(settings(&[server.url()])).await;
    let reader = Running::connected(settings(&[server.url()])).await;
    let mut live = reader.live(&log(1)).await.unwrap();

    let first = writer.append(&log(1), 0, bytes("one")).await.unwrap();
    writer.append(&log(2), 0, bytes("elsewhere")).await.unwrap();
    writer.append(&log(1), 0, bytes("refused")).await.unwrap_err();
    let second = writer.append(&log(1), first, bytes("two")).await.unwrap();

    let stored = |sequence, text| Stored { sequence, payload: bytes(text) };
    assert_eq!(next(&mut live).await, LiveRecord { record: stored(first, "one"), previous: 0 });
    assert_eq!(next(&mut live).await, LiveRecord { record: stored(second, "two"), previous: first });
}
