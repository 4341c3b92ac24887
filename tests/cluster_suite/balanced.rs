//! A check of the suite itself: clients reach all gateways, which share one upstream connection.

use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::figures::page;
use crate::support::origin::{Emission, Origin};
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn clients_reach_each_gateway_and_share_one_upstream_connection() {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), "")).await;
    let mut readers = Vec::new();
    for _ in gateway.gateways() {
        readers.push(Client::http1(gateway.address()).subscribe("/a", &[]).await);
    }

    origin.emit(Emission::event("1", "", "one"));

    for reader in &mut readers {
        assert_eq!(reader.next_event(DEADLINE).await.data, "one");
    }
    for one in gateway.gateways() {
        let has_one_reader = || async { page(one.admin(), "/streams").await.1.contains("\"subscribers\":1") };
        eventually(DEADLINE, has_one_reader).await;
    }
    assert_eq!(origin.requests().len(), 1);
}
