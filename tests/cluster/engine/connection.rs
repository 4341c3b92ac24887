//! Connections: lost and found again, and those that cannot be made.

use rillgate::cluster::{AppendError, Engine, EngineErrorKind};

use super::fixture::{Running, bytes, log, next, settings};
use crate::support::nats::NatsServer;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn after_the_engine_was_killed_everything_works_again() {
    let server = NatsServer::start().await;
    let engine = Running::connected(settings(&[server.url()])).await;
    let mut live = engine.live(&log(1)).await.unwrap();
    let first = engine.append(&log(1), 0, bytes("one")).await.unwrap();
    next(&mut live).await;

    server.kill();
    engine.is_disconnected().await;
    let error = engine.newest(&log(1)).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Disconnected, "{error}");
    server.restart();
    engine.is_connected().await;

    assert_eq!(engine.state().borrow().connections, 2);
    eventually(DEADLINE, || async {
        match engine.append(&log(1), first, bytes("two")).await {
            Ok(_) => true,
            Err(AppendError::Refused) => panic!("it was not stored before"),
            Err(AppendError::Unknown(_)) => false,
        }
    })
    .await;
    assert_eq!(next(&mut live).await.previous, first, "the subscription survives");
}

#[tokio::test]
async fn an_engine_that_is_not_there_yet_is_waited_for() {
    let server = NatsServer::start().await;
    server.kill();
    let engine = Running::start(settings(&[server.url()]));

    let error = engine.error().await;
    server.restart();
    engine.is_connected().await;

    assert_eq!(error.kind, EngineErrorKind::Disconnected, "{error}");
    engine.append(&log(1), 0, bytes("one")).await.unwrap();
}

#[tokio::test]
async fn an_engine_that_lost_everything_gets_its_streams_again() {
    let server = NatsServer::start().await;
    let engine = Running::connected(settings(&[server.url()])).await;
    engine.append(&log(1), 0, bytes("one")).await.unwrap();

    server.kill();
    server.forget();
    engine.is_disconnected().await;
    server.restart();
    engine.is_connected().await;

    eventually(DEADLINE, || async { engine.append(&log(1), 0, bytes("anew")).await.is_ok() }).await;
}
