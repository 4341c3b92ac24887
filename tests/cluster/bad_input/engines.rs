//! Engines that cannot be used.

use futures_util::future::join_all;

use super::is_refused;
use crate::engine::access::pretends;
use crate::gateways::{KEY, configuration};
use crate::support::nats::NatsServer;
use crate::support::origin::Origin;

#[tokio::test]
async fn an_engine_that_is_too_old_is_told() {
    let origin = Origin::start().await;
    let config = configuration(&[pretends("2.10.27").await], &origin, "", "");

    is_refused(&config, "nats-server 2.10.27 is too old: rillgate needs 2.11 or later", KEY.1).await;
}

#[tokio::test]
async fn an_engine_without_jetstream_is_told() {
    let (engine, origin) = (NatsServer::start_with("jetstream: false").await, Origin::start().await);

    is_refused(&configuration(&[engine.url()], &origin, "", ""), "JetStream is off", KEY.1).await;
}

#[tokio::test]
async fn a_subject_without_permission_is_named() {
    let denied = [
        ("publish: { deny: \"rillgate.log.>\" }", "rillgate.log."),
        ("publish: { deny: \"rillgate.node.>\" }", "rillgate.node."),
        ("subscribe: { deny: \"rillgate.live.*\" }", "rillgate.live."),
    ];
    let refused = denied.map(async |(permissions, subject)| {
        let users =
            format!("users: [ {{ user: gateway, password: \"{}\", permissions: {{ {permissions} }} }} ]", KEY.1);
        let engine = NatsServer::start_with(&format!("authorization {{ {users} }}")).await;
        let origin = Origin::start().await;
        let login = "user = \"gateway\"\npassword = { env = \"CLUSTER_KEY\" }";

        is_refused(&configuration(&[engine.url()], &origin, login, ""), subject, KEY.1).await;
    });
    join_all(refused).await;
}
