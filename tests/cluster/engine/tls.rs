//! TLS with the engine.

use rillgate::cluster::{ClusterSettings, Engine, EngineErrorKind, EngineTls};

use super::fixture::{Running, bytes, log, settings};
use crate::support::certificates::Authority;
use crate::support::nats::NatsServer;

async fn server(authority: &Authority, more: &str) -> NatsServer {
    let identity = authority.server();
    let (chain, key) = (identity.chain.display(), identity.key.display());
    NatsServer::start_with(&format!("tls {{ cert_file: \"{chain}\", key_file: \"{key}\"\n{more}\n}}")).await
}

fn with(server: &NatsServer, tls: EngineTls) -> ClusterSettings {
    ClusterSettings { tls, ..settings(&[format!("tls://{}", server.address())]) }
}

#[tokio::test]
async fn the_engines_certificate_must_come_from_the_configured_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = server(&authority, "").await;
    let trusting = |authority: &Authority| EngineTls { ca_file: Some(authority.file()), client_certificate: None };

    let engine = Running::connected(with(&server, trusting(&authority))).await;
    engine.append(&log(1), 0, bytes("one")).await.unwrap();
    let untrusted = Running::start(with(&server, trusting(&other))).error().await;
    let systems = Running::start(with(&server, EngineTls::default())).error().await;

    for error in [untrusted, systems] {
        assert_eq!(error.kind, EngineErrorKind::Disconnected, "{error}");
        assert!(error.message.contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_the_engine_wants_one() {
    let authority = Authority::new();
    let server = server(&authority, &format!("ca_file: \"{}\"\nverify: true", authority.file().display())).await;
    let client = authority.client("gateway");
    let with_certificate = |certificate| EngineTls { ca_file: Some(authority.file()), client_certificate: certificate };

    let engine = Running::connected(with(&server, with_certificate(Some((client.chain, client.key))))).await;
    engine.append(&log(1), 0, bytes("one")).await.unwrap();
    let error = Running::start(with(&server, with_certificate(None))).error().await;

    assert_eq!(error.kind, EngineErrorKind::Disconnected, "{error}");
}

#[tokio::test]
async fn a_file_that_is_missing_is_named() {
    let authority = Authority::new();
    let server = server(&authority, "").await;
    let tls = EngineTls { ca_file: Some("/nowhere/ca.pem".into()), client_certificate: None };

    let error = Running::start(with(&server, tls)).error().await;

    assert!(error.message.contains("No such file"), "{error}");
}
