//! Tickets and revocations.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use rillgate::cluster::{AppendError, AuthKey, AuthKind, AuthRecord, Engine, Stored};

use super::fixture::{Running, bytes, next, settings};
use crate::support::nats::NatsServer;
use crate::support::wait::{DEADLINE, eventually};

const LONG: Duration = Duration::from_secs(600);

fn key(kind: AuthKind, number: u32) -> AuthKey {
    let mut name = [0; 32];
    name[..4].copy_from_slice(&number.to_be_bytes());
    AuthKey { kind, name }
}

#[tokio::test]
async fn a_ticket_is_replaced_once() {
    let server = NatsServer::start().await;
    let one = Running::connected(settings(&[server.url()])).await;
    let two = Running::connected(settings(&[server.url()])).await;
    let ticket = key(AuthKind::Ticket, 1);
    let issued = one.put(&ticket, Some(0), bytes("grant"), LONG).await.unwrap();
    assert_eq!(two.get(&ticket).await.unwrap(), Some(Stored { sequence: issued, payload: bytes("grant") }));

    let redeemed = [
        one.put(&ticket, Some(issued), bytes("used"), LONG).await,
        two.put(&ticket, Some(issued), bytes("used"), LONG).await,
        one.put(&ticket, Some(0), bytes("grant"), LONG).await,
    ];

    assert!(redeemed[0].is_ok());
    assert_eq!(redeemed[1..], [Err(AppendError::Refused), Err(AppendError::Refused)]);
    assert_eq!(two.get(&key(AuthKind::Ticket, 2)).await.unwrap(), None);
}

#[tokio::test]
async fn what_has_expired_is_gone() {
    let server = NatsServer::start().await;
    let engine = Running::connected(settings(&[server.url()])).await;
    let (short, long) = (key(AuthKind::Ticket, 1), key(AuthKind::Ticket, 2));

    engine.put(&short, Some(0), bytes("short"), Duration::from_secs(1)).await.unwrap();
    engine.put(&long, Some(0), bytes("long"), LONG).await.unwrap();

    eventually(DEADLINE, || async { engine.get(&short).await.unwrap().is_none() }).await;
    assert!(engine.get(&long).await.unwrap().is_some());
}

#[tokio::test]
async fn all_revocations_are_read_in_order_and_heard_at_once() {
    let server = NatsServer::start().await;
    let one = Running::connected(settings(&[server.url()])).await;
    let two = Running::connected(settings(&[server.url()])).await;
    let mut heard = two.live_auth(AuthKind::Revocation).await.unwrap();
    one.put(&key(AuthKind::Ticket, 1), Some(0), bytes("ticket"), LONG).await.unwrap();

    let revoked = key(AuthKind::Revocation, 1);
    let first = one.put(&revoked, None, bytes("revoked"), LONG).await.unwrap();
    let second = one.put(&revoked, None, bytes("removed"), LONG).await.unwrap();

    for (sequence, text) in [(first, "revoked"), (second, "removed")] {
        let record = Stored { sequence, payload: bytes(text) };
        assert_eq!(next(&mut heard).await, AuthRecord { key: revoked, record });
    }
    let all = two.all(AuthKind::Revocation).await.unwrap();
    assert_eq!(all, [AuthRecord { key: revoked, record: Stored { sequence: second, payload: bytes("removed") } }]);
}

#[tokio::test]
async fn three_thousand_revocations_are_all_read() {
    let server = NatsServer::start().await;
    let engine = Running::connected(settings(&[server.url()])).await;
    let stored = stream::iter(0..3_000)
        .map(|number| {
            let engine = &engine;
            async move { engine.put(&key(AuthKind::Revocation, number), None, bytes("r"), LONG).await.unwrap() }
        })
        .buffer_unordered(128)
        .count()
        .await;

    let all = engine.all(AuthKind::Revocation).await.unwrap();

    assert_eq!(all.len(), stored);
    assert!(all.is_sorted_by_key(|record| record.record.sequence));
}
