//! The streams in JetStream: managed by the gateways, or by an administrator.

use rillgate::cluster::{AppendError, ClusterSettings, Engine, EngineErrorKind};

use super::fixture::{Running, bytes, log, settings};
use crate::support::nats::NatsServer;

#[tokio::test]
async fn a_missing_stream_is_named_where_they_are_not_managed() {
    let server = NatsServer::start().await;

    let error = Running::start(ClusterSettings { is_managed: false, ..settings(&[server.url()]) }).error().await;

    assert_eq!(error.kind, EngineErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("test-log") && error.message.contains("cluster.manage"), "{error}");
}

#[tokio::test]
async fn streams_that_fit_are_used_where_they_are_not_managed() {
    let server = NatsServer::start().await;
    drop(Running::connected(settings(&[server.url()])).await);

    let engine = Running::connected(ClusterSettings { is_managed: false, ..settings(&[server.url()]) }).await;

    engine.append(&log(1), 0, bytes("one")).await.unwrap();
}

#[tokio::test]
async fn a_setting_that_differs_is_named_or_updated() {
    let server = NatsServer::start().await;
    drop(Running::connected(settings(&[server.url()])).await);
    let changed = ClusterSettings { bytes: 32 << 20, ..settings(&[server.url()]) };

    let unmanaged = ClusterSettings { is_managed: false, ..changed.clone() };
    let error = Running::start(unmanaged.clone()).error().await;
    drop(Running::connected(changed).await);

    assert!(error.message.contains("max_bytes") && error.message.contains("33554432"), "{error}");
    Running::connected(unmanaged).await;
}

#[tokio::test]
async fn more_replicas_than_servers_are_told() {
    let server = NatsServer::start().await;

    let error = Running::start(ClusterSettings { replicas: 3, ..settings(&[server.url()]) }).error().await;

    assert!(error.message.contains("replicas"), "{error}");
}

#[tokio::test]
async fn the_oldest_records_go_when_all_logs_are_full() {
    let server = NatsServer::start().await;
    let engine = Running::connected(ClusterSettings { bytes: 1 << 20, ..settings(&[server.url()]) }).await;
    let payload = vec![b'x'; 100 << 10];
    let mut last = 0;
    for _ in 0..30 {
        last = engine.append(&log(1), last, payload.clone().into()).await.unwrap();
    }

    let kept = engine.since(&log(1), 0).await.unwrap();

    assert!((5..11).contains(&kept.len()), "{} records of 100 KiB in 1 MiB", kept.len());
    assert_eq!(kept.last().unwrap().sequence, last);
}

#[tokio::test]
async fn an_engine_without_space_is_full() {
    let server = NatsServer::start_with("jetstream { store_dir: STORE, max_mem: 128MB, max_file: 1MB }").await;

    let error = Running::start(settings(&[server.url()])).error().await;

    assert_eq!(error.kind, EngineErrorKind::Full, "{error}");
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_at_once() {
    let server = NatsServer::start().await;
    let engine = Running::connected(settings(&[server.url()])).await;

    let refused = engine.append(&log(1), 0, vec![b'x'; 2 << 20].into()).await;

    let Err(AppendError::Unknown(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind, EngineErrorKind::TooLarge, "{error}");
}

#[tokio::test]
async fn records_fit_what_the_engine_takes() {
    let server = NatsServer::start_with("max_payload: 128KB").await;
    let engine = Running::connected(settings(&[server.url()])).await;

    assert!((120 << 10..128 << 10).contains(&engine.max_record()), "{}", engine.max_record());
    engine.append(&log(1), 0, vec![b'x'; engine.max_record()].into()).await.unwrap();
}
