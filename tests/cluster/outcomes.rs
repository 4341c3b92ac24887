//! The answer of an upstream to one gateway, as the clients of the others see it.

use crate::gateways::{configuration, only_stream, start};
use crate::support::client::Client;
use crate::support::nats::NatsServer;
use crate::support::origin::Origin;
use crate::support::script::{Answer, Cut};
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn a_refusal_after_the_head_is_the_next_status_on_a_gateway_that_joins() {
    let (engine, origin) = (NatsServer::start().await, Origin::start_with(|_| Answer::waiting()).await);
    let soon = configuration(&[engine.url()], &origin, "", "delivery.answer_within = \"20ms\"");
    let gateways = [start(&soon).await, start(&configuration(&[engine.url()], &origin, "", "")).await];
    let mut early = Client::http1(gateways[0].address()).subscribe("/prices", &[]).await;
    assert_eq!(early.header("rillgate-resume"), "pending");
    origin.wait_requests(1).await;

    origin.emit("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(early.next_event(DEADLINE).await.kind, "rillgate.error");
    early.expect_end(DEADLINE).await;

    let later = Client::http1(gateways[1].address()).subscribe("/prices", &[]).await;
    assert_eq!(later.status.as_u16(), 404);
    assert_eq!(origin.requests().len(), 1, "the refusal is remembered for 30 s");
}

#[tokio::test]
async fn an_upstream_204_completes_the_stream_on_gateways_that_follow() {
    let origin = Origin::start_with(|request| match request.number {
        0 => Answer::stream(),
        _ => Answer::status(204),
    })
    .await;
    let engine = NatsServer::start().await;
    let config = configuration(&[engine.url()], &origin, "", "");
    let gateways = [start(&config).await, start(&config).await];
    let mut readers = Vec::new();
    for gateway in &gateways {
        readers.push(Client::http1(gateway.address()).subscribe("/prices", &[]).await);
    }
    eventually(DEADLINE, || async { only_stream(&gateways[1]).await["role"] == "follow" }).await;
    origin.wait_open(1).await;

    origin.cut(Cut::End);

    for reader in &mut readers {
        assert!(reader.expect_end(DEADLINE).await.is_empty());
    }
    assert_eq!(origin.requests().len(), 2, "the owner's");
}
