//! Credentials and permissions: right ones, wrong ones, and those that do not suffice.

use nkeys::KeyPair;
use rillgate::cluster::{ClusterSettings, Engine, EngineCredentials, EngineErrorKind};
use rillgate::secret::Secret;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::fixture::{Running, bytes, log, settings};
use super::operator::Operator;
use crate::support::nats::NatsServer;

fn with(server: &NatsServer, credentials: EngineCredentials) -> ClusterSettings {
    ClusterSettings { credentials, ..settings(&[server.url()]) }
}

fn password(user: &str, password: &str) -> EngineCredentials {
    EngineCredentials::Password { user: user.to_owned(), password: Secret::new(password) }
}

/// Right credentials serve, and the wrong ones are told without being shown.
async fn decides(server: &NatsServer, right: EngineCredentials, wrong: Vec<EngineCredentials>) {
    let engine = Running::connected(with(server, right)).await;
    engine.append(&log(1), 0, bytes("one")).await.unwrap();

    for credentials in wrong.into_iter().chain([EngineCredentials::Anonymous]) {
        let text = format!("{credentials:?}");
        let error = Running::start(with(server, credentials)).error().await;
        assert_eq!(error.kind, EngineErrorKind::Denied, "{text}: {error}");
        assert!(!error.to_string().contains("wrong-secret") && !text.contains("wrong-secret"), "{text}: {error}");
    }
}

#[tokio::test]
async fn a_token_decides() {
    let server = NatsServer::start_with("authorization { token: \"right\" }").await;
    let token = |text| EngineCredentials::Token(Secret::new(text));

    decides(&server, token("right"), vec![token("wrong-secret")]).await;
}

#[tokio::test]
async fn a_user_and_its_password_decide() {
    let server = NatsServer::start_with("authorization { user: gateway, password: \"right\" }").await;

    decides(
        &server,
        password("gateway", "right"),
        vec![password("gateway", "wrong-secret"), password("other", "right")],
    )
    .await;
}

#[tokio::test]
async fn an_nkey_decides() {
    let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
    let server =
        NatsServer::start_with(&format!("authorization {{ users: [ {{ nkey: {} }} ] }}", user.public_key())).await;
    let nkey = |key: &KeyPair| EngineCredentials::Nkey(Secret::new(format!("{}\n", key.seed().unwrap())));

    decides(&server, nkey(&user), vec![nkey(&other), EngineCredentials::Nkey(Secret::new("wrong-secret"))]).await;
}

#[tokio::test]
async fn a_credentials_file_decides() {
    let (operator, other) = (Operator::new(), Operator::new());
    let server = NatsServer::start_with(&operator.config()).await;
    let file = |content: String| EngineCredentials::File(Secret::new(content));

    decides(&server, file(operator.credentials()), vec![file(other.credentials()), file("wrong-secret".to_owned())])
        .await;
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    for (permissions, missing) in [
        ("publish: { deny: \"test.log.>\" }", "test.log."),
        ("publish: { deny: \"test.revoked.*\" }", "test.revoked."),
        ("publish: { deny: \"$JS.API.STREAM.MSG.GET.>\" }", "$JS.API.STREAM.MSG.GET.test-log"),
        ("publish: { deny: \"$JS.API.DIRECT.GET.>\" }", "$JS.API.DIRECT.GET.test-log"),
        ("subscribe: { deny: \"test.live.*\" }", "test.live."),
        ("subscribe: { deny: \"test.heard.>\" }", "test.heard."),
        ("publish: { deny: \"$JS.API.STREAM.CREATE.>\" }", "$JS.API.STREAM.CREATE.test-log"),
    ] {
        let server = NatsServer::start_with(&format!(
            "authorization {{ users: [ {{ user: gateway, password: right, permissions: {{ {permissions} }} }} ] }}"
        ))
        .await;

        let error = Running::start(with(&server, password("gateway", "right"))).error().await;

        assert_eq!(error.kind, EngineErrorKind::Denied, "{permissions}: {error}");
        assert!(error.message.contains(missing), "{permissions}: {error}");
    }
}

/// The permissions that docs/cluster.md recommends.
#[tokio::test]
async fn the_least_permissions_suffice() {
    let server = NatsServer::start_with(
        "authorization { users: [ { user: gateway, password: right, permissions: {
            publish: [ \"test.>\", \"$JS.API.STREAM.*.test-log\", \"$JS.API.STREAM.*.test-nodes\", \"$JS.API.STREAM.*.test-auth\",
                \"$JS.API.STREAM.MSG.GET.test-log\", \"$JS.API.STREAM.MSG.GET.test-nodes\", \"$JS.API.STREAM.MSG.GET.test-auth\",
                \"$JS.API.DIRECT.GET.test-log\", \"$JS.API.DIRECT.GET.test-nodes\", \"$JS.API.DIRECT.GET.test-auth\" ]
            subscribe: [ \"test.>\" ]
        } } ] }",
    )
    .await;

    let engine = Running::connected(with(&server, password("gateway", "right"))).await;

    let first = engine.append(&log(1), 0, bytes("one")).await.unwrap();
    assert_eq!(engine.since(&log(1), 0).await.unwrap()[0].sequence, first);
}

/// A server that says that it is of this version, and nothing else.
pub async fn pretends(version: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let info = format!(
        "INFO {{\"server_id\":\"x\",\"version\":\"{version}\",\"headers\":true,\"jetstream\":true,\"max_payload\":1048576}}\r\nPONG\r\n"
    );
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.write_all(info.as_bytes()).await;
            connections.push(connection);
        }
    });
    url
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_refused() {
    for version in ["2.9.25", "2.10.27"] {
        let error = Running::start(settings(&[pretends(version).await])).error().await;

        assert!(error.message.contains(version) && error.message.contains("2.11"), "{error}");
    }
}

#[tokio::test]
async fn an_engine_without_jetstream_is_told() {
    let server = NatsServer::start_with("jetstream: false").await;

    let error = Running::start(settings(&[server.url()])).error().await;

    assert!(error.message.contains("JetStream is off"), "{error}");
}
