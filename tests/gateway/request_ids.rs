//! Request ids and traces: from trusted proxies to the upstream, the client and the log.

use crate::support::client::Client;
use crate::support::origin::Origin;
use crate::support::setup::Setup;
use crate::support::wait::DEADLINE;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn a_trusted_proxys_ids_reach_the_upstream_the_client_and_the_log() {
    let origin = Origin::start().await;
    // The heartbeats make the gateway notice clients that leave a limited response.
    let gateway = Setup::for_origin(&origin.url())
        .listener("client_address = \"x-forwarded-for\"\ntrusted_proxies = [\"127.0.0.2/32\"]")
        .delivery("heartbeat = \"100ms\"")
        .start()
        .await;
    let proxy = Client::http1(gateway.address()).coming_from("127.0.0.2".parse().unwrap());
    let parent = format!("00-{TRACE}-b7ad6b7169203331-00");
    let fields = [("x-request-id", "from-the-edge"), ("traceparent", parent.as_str()), ("tracestate", "a=1")];

    let first = proxy.subscribe("/prices", &fields).await;
    let second = proxy.subscribe("/prices", &[("x-request-id", "another")]).await;
    let refused = proxy.try_request("POST", "/prices", &fields).await.unwrap();

    assert_eq!((first.header("x-request-id"), second.header("x-request-id")), ("from-the-edge", "another"));
    assert_eq!(refused.header("x-request-id"), "from-the-edge");
    // Both clients share one upstream connection, which has the ids of the request that opened it.
    let [asked] = &origin.requests()[..] else { panic!("{:?}", origin.requests()) };
    assert_eq!(asked.header("traceparent"), Some(parent.as_str()));
    assert_eq!(asked.header("x-request-id"), Some("from-the-edge"));
    assert_eq!(asked.header("tracestate"), Some("a=1"));
    drop(first);
    for line in ["subscription ended", "answered"] {
        let line = gateway.wait_line(&format!("{line} client=127.0.0.2"), DEADLINE).await;
        assert!(line.contains("request_id=\"from-the-edge\"") && line.contains(&format!("trace_id={TRACE}")), "{line}");
    }
}

#[tokio::test]
async fn ids_of_untrusted_clients_are_replaced() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url())
        .listener("client_address = \"x-forwarded-for\"\ntrusted_proxies = [\"127.0.0.2/32\"]")
        .start()
        .await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let forged = [("x-request-id", "forged"), ("traceparent", parent.as_str()), ("tracestate", "a=1")];
    let stranger = Client::http2(gateway.address());
    let proxy = Client::http2(gateway.address()).coming_from("127.0.0.2".parse().unwrap());

    let one = stranger.subscribe("/one", &forged).await;
    let two = proxy.subscribe("/two", &[("x-request-id", "a b"), ("traceparent", "00-0-0-0")]).await;

    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    for (request, answer) in origin.requests().iter().zip([one, two]) {
        let id = answer.header("x-request-id");
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert_eq!(request.header("x-request-id"), Some(id));
        let parent = request.header("traceparent").unwrap();
        assert!(parent.len() == 55 && !parent.contains(TRACE), "{parent}");
        assert_eq!(request.header("tracestate"), None);
    }
}
