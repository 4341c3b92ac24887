//! Logins as the configuration names them: right ones, and wrong ones.

use std::path::{Path, PathBuf};

use futures_util::future::{join, join_all};
use nkeys::KeyPair;
use tempfile::TempDir;

use super::is_refused;
use crate::engine::operator::Operator;
use crate::gateways::{KEY, answer, configuration, start};
use crate::operation::command;
use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::nats::NatsServer;
use crate::support::origin::{Emission, Origin};
use crate::support::wait::{DEADLINE, eventually};

/// A login: the lines of the engine, and those of a gateway that may use it and of one that may not.
struct Login {
    engine: String,
    right: String,
    wrong: String,
}

fn file(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// The content of everything that must not be shown.
const SECRET: &str = "not-to-be-shown";

fn logins(folder: &Path) -> Vec<(&'static str, Login)> {
    let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
    let (operator, foreign) = (Operator::new(), Operator::new());
    let seed = |name: &str, key: &KeyPair| file(folder, name, &key.seed().unwrap()).display().to_string();
    let credentials = |name: &str, of: &Operator| file(folder, name, &of.credentials()).display().to_string();
    let secret = file(folder, "secret", SECRET).display().to_string();
    let right = file(folder, "right", "right").display().to_string();
    let password = |path: &str| format!("user = \"gateway\"\npassword = {{ file = \"{path}\" }}");
    let of_file = |key: &str, path: &str| format!("{key} = {{ file = \"{path}\" }}");
    vec![
        (
            "a token",
            Login {
                engine: "authorization { token: \"right\" }".to_owned(),
                right: of_file("token", &right),
                wrong: of_file("token", &secret),
            },
        ),
        (
            "a password",
            Login {
                engine: "authorization { user: gateway, password: \"right\" }".to_owned(),
                right: password(&right),
                wrong: password(&secret),
            },
        ),
        (
            "an nkey",
            Login {
                engine: format!("authorization {{ users: [ {{ nkey: {} }} ] }}", user.public_key()),
                right: of_file("nkey", &seed("right.nk", &user)),
                wrong: of_file("nkey", &seed("wrong.nk", &other)),
            },
        ),
        (
            "a credentials file",
            Login {
                engine: operator.config(),
                right: of_file("credentials", &credentials("right.creds", &operator)),
                wrong: of_file("credentials", &credentials("wrong.creds", &foreign)),
            },
        ),
    ]
}

#[tokio::test]
async fn every_kind_of_login_serves_and_a_wrong_one_is_told() {
    let folder = TempDir::new().unwrap();
    join_all(logins(folder.path()).into_iter().map(|(kind, login)| serves_and_refuses(kind, login))).await;
}

async fn serves_and_refuses(kind: &str, login: Login) {
    let (engine, origin) = (NatsServer::start_with(&login.engine).await, Origin::start().await);
    let config = |lines: &str| configuration(&[engine.url()], &origin, lines, "");

    let gateway = start(&config(&login.right)).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;
    origin.emit(Emission::event("1", "price", "42"));
    assert_eq!(reader.next_event(DEADLINE).await.data, "42", "{kind}");
    let (code, text) = command(&gateway, &["check", "--connect"]).await;
    assert_eq!(code, 0, "{kind}: {text}");

    is_refused(&config(&login.wrong), "wrong credentials", SECRET).await;
    is_refused(&config(""), "wrong credentials", SECRET).await;
}

#[tokio::test]
async fn a_client_certificate_serves_and_a_missing_one_is_told() {
    let authority = Authority::new();
    let identity = authority.server();
    let (ca, client) = (authority.file().display().to_string(), authority.client("gateway"));
    let engine = NatsServer::start_with(&format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{ca}\", verify: true }}",
        identity.chain.display(),
        identity.key.display()
    ))
    .await;
    let origin = Origin::start().await;
    let url = format!("tls://{}", engine.address());
    let config = |tls: &str| configuration(std::slice::from_ref(&url), &origin, &format!("tls = {{ {tls} }}"), "");
    let certificate = format!(
        "client_certificate = {{ chain = \"{}\", key = \"{}\" }}",
        client.chain.display(),
        client.key.display()
    );

    let gateway = start(&config(&format!("ca_file = \"{ca}\", {certificate}"))).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;
    origin.emit(Emission::event("1", "price", "42"));
    assert_eq!(reader.next_event(DEADLINE).await.data, "42");
    let (code, text) = command(&gateway, &["check", "--connect"]).await;
    assert_eq!(code, 0, "{text}");

    let (without, untrusting) = (config(&format!("ca_file = \"{ca}\"")), config(&certificate));
    join(is_refused(&without, "ertificate", SECRET), is_refused(&untrusting, "ertificate", SECRET)).await;
}

/// The engine's users were changed while gateways run.
#[tokio::test]
async fn a_login_that_is_refused_later_is_told_and_clients_are_held() {
    let engine = NatsServer::start_with(&format!("authorization {{ token: \"{}\" }}", KEY.1)).await;
    let origin = Origin::start().await;
    origin.honour_last_event_id();
    let gateway = start(&configuration(&[engine.url()], &origin, "token = { env = \"CLUSTER_KEY\" }", "")).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;
    origin.emit(Emission::event("1", "price", "1"));
    assert_eq!(reader.next_event(DEADLINE).await.data, "1");

    engine.kill();
    engine.replace_in_config(KEY.1, "another");
    engine.restart();
    let note = || async { answer(&gateway, "/readyz").await };
    eventually(DEADLINE, || async { note().await.1.contains("denied") }).await;
    assert_eq!(note().await.0, 200, "clients stay where they are");
    assert_eq!(answer(&gateway, "/readyz?cluster").await.0, 503);
    origin.emit(Emission::event("2", "price", "2"));

    engine.kill();
    engine.replace_in_config("another", KEY.1);
    engine.restart();
    assert_eq!(reader.next_event(DEADLINE * 2).await.data, "2", "held, and nothing else was told");
}
