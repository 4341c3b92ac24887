//! `rillgate doctor`: each finding with a real proxy that is misconfigured so, and nothing found on a good path.

use std::time::Duration;

use super::doctor_fixture::{FrontProxy, examine, idle_limit};
use super::support::certificates::Authority;
use super::support::origin::Origin;
use super::support::reserved_addr::reserve;
use super::support::server::Rillgate;
use super::support::setup::Setup;

const BOTH: &str = "h2,http/1.1";
const PAGE: &str = "https://app.example.com";

/// Starts an origin and a gateway without TLS, with this time between heartbeats.
async fn gateway(heartbeat: &str) -> (Origin, Rillgate) {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url()).delivery(&format!("heartbeat = \"{heartbeat}\""));
    let cors = format!("[routes.cors]\norigins = [\"{PAGE}\"]\n");
    let gateway = setup.after(&cors).start().await;
    (origin, gateway)
}

#[tokio::test]
async fn nothing_is_found_on_a_good_path() {
    let (authority, origin) = (Authority::new(), Origin::start().await);
    let cors = format!("[routes.cors]\norigins = [\"{PAGE}\"]\n");
    let setup = Setup::for_origin(&origin.url()).delivery("heartbeat = \"100ms\"\ncompression = [\"zstd\", \"gzip\"]");
    let (direct, behind) =
        tokio::join!(async { setup.clone().after(&cors).tls(&authority.server()).start().await }, async {
            setup.clone().after(&cors).start().await
        },);
    let proxy = FrontProxy::haproxy(&authority, behind.address(), BOTH, "", "").await;
    let page = ["--origin", PAGE, "--token", "a.b.c"];
    let direct_url = format!("https://{}/prices", direct.address());
    let proxied_url = proxy.url("https");

    let (direct, proxied) =
        tokio::join!(examine(&direct_url, &authority, &page), examine(&proxied_url, &authority, &page));

    for examined in [direct, proxied] {
        assert!(examined.findings().is_empty(), "{}", examined.report);
        assert_eq!(examined.report["protocol"], "HTTP/2");
        assert!(examined.report["heartbeats"].as_u64().unwrap() >= 3, "{}", examined.report);
    }
}

#[tokio::test]
async fn nginx_that_buffers_is_found() {
    let (authority, (_origin, gateway)) = (Authority::new(), gateway("100ms").await);
    // A rillgate turns buffering off by a field, which a second nginx in front would not get to see.
    let proxy = FrontProxy::nginx(&authority, gateway.address(), "proxy_ignore_headers X-Accel-Buffering;").await;
    let good = FrontProxy::nginx(&authority, gateway.address(), "").await;
    let (url, good_url) = (proxy.url("https"), good.url("https"));

    let (examined, good) = tokio::join!(examine(&url, &authority, &[]), examine(&good_url, &authority, &[]));

    assert_eq!(examined.findings(), ["buffering"], "{}", examined.report);
    assert!(good.findings().is_empty(), "{}", good.report);
}

#[tokio::test]
async fn a_compressor_that_is_not_flushed_is_found() {
    let (authority, (_origin, gateway)) = (Authority::new(), gateway("100ms").await);
    let proxy = FrontProxy::compressing(gateway.address()).await;

    let examined = examine(&proxy.url("http"), &authority, &[]).await;

    assert_eq!(examined.findings(), ["compression", "http1_only"], "{}", examined.report);
    assert!(examined.found().contains("gzip"), "{}", examined.report);
}

#[tokio::test]
async fn caddy_s_encode_is_noted_where_it_compresses() {
    let (authority, (_origin, gateway)) = (Authority::new(), gateway("100ms").await);
    // A rillgate forbids it with `no-transform`. Without, Caddy compresses, and flushes each event.
    let (obedient, encoding) = tokio::join!(
        FrontProxy::caddy(&authority, gateway.address(), "encode gzip", ""),
        FrontProxy::caddy(&authority, gateway.address(), "encode gzip", "header_down -Cache-Control"),
    );
    let (obedient_url, encoding_url) = (obedient.url("https"), encoding.url("https"));

    let (obedient, encoding) =
        tokio::join!(examine(&obedient_url, &authority, &[]), examine(&encoding_url, &authority, &[]));

    assert!(obedient.findings().is_empty() && obedient.notes().is_empty(), "{}", obedient.report);
    assert!(encoding.findings().is_empty(), "{}", encoding.report);
    assert_eq!(encoding.notes(), ["the response is compressed (gzip)"]);
}

#[tokio::test]
async fn caddy_that_buffers_is_found_and_refuses_what_asks_not_to_be_buffered() {
    let (authority, origin) = (Authority::new(), Origin::start().await);
    let setup = Setup::for_origin(&origin.url()).delivery("heartbeat = \"100ms\"");
    let (incremental, silent) = (setup.clone().start().await, setup.delivery("incremental = false").start().await);
    let (refusing, buffering) = tokio::join!(
        FrontProxy::caddy(&authority, incremental.address(), "", "response_buffers 1MiB"),
        FrontProxy::caddy(&authority, silent.address(), "", "response_buffers 1MiB"),
    );
    let (refusing_url, buffering_url) = (refusing.url("https"), buffering.url("https"));

    let (refused, buffered) =
        tokio::join!(examine(&refusing_url, &authority, &[]), examine(&buffering_url, &authority, &[]));

    assert_eq!(refused.status, Some(2), "{}", refused.said);
    assert!(refused.said.contains("501"), "{}", refused.said);
    assert_eq!(buffered.findings(), ["buffering"], "{}", buffered.report);
}

#[tokio::test]
async fn a_stripped_last_event_id_is_found() {
    let (authority, (_origin, gateway)) = (Authority::new(), gateway("100ms").await);
    let strip = "http-request del-header last-event-id";
    let proxy = FrontProxy::haproxy(&authority, gateway.address(), BOTH, strip, "").await;

    let examined = examine(&proxy.url("https"), &authority, &[]).await;

    assert_eq!(examined.findings(), ["last_event_id"], "{}", examined.report);
}

#[tokio::test]
async fn a_proxy_with_http_1_1_only_is_found() {
    let (authority, (_origin, gateway)) = (Authority::new(), gateway("100ms").await);
    let proxy = FrontProxy::haproxy(&authority, gateway.address(), "http/1.1", "", "").await;

    let examined = examine(&proxy.url("https"), &authority, &[]).await;

    assert_eq!(examined.findings(), ["http1_only"], "{}", examined.report);
    assert_eq!(examined.report["protocol"], "HTTP/1.1");
}

#[tokio::test]
async fn an_idle_limit_below_the_heartbeat_is_found() {
    let (authority, (_origin, gateway)) = (Authority::new(), gateway("10m").await);
    let limit = idle_limit();
    let lines = format!("timeout server {}s", limit.as_secs());
    let proxy = FrontProxy::haproxy(&authority, gateway.address(), BOTH, "", &lines).await;

    let longest = format!("{}s", 2 * limit.as_secs() + 18);
    let examined = examine(&proxy.url("https"), &authority, &["--for", &longest]).await;

    assert_eq!(examined.findings(), ["idle_limit"], "{}", examined.report);
    let seconds = examined.report["seconds"].as_f64().unwrap();
    assert!(seconds < limit.as_secs_f64() + 10.0, "it ends with the stream: {}", examined.report);
}

#[tokio::test]
async fn a_response_that_is_cut_while_bytes_come_is_found() {
    let (authority, origin) = (Authority::new(), Origin::start().await);
    let setup = Setup::for_origin(&origin.url()).tls(&authority.server());
    let delivery = "heartbeat = \"50ms\"\nmax_age = \"800ms\"\nend = \"cut\"";
    let gateway = setup.delivery(delivery).start().await;

    let examined = examine(&format!("https://{}/prices", gateway.address()), &authority, &["--for", "10s"]).await;

    assert_eq!(examined.findings(), ["cut_off"], "{}", examined.report);
}

#[tokio::test]
async fn a_missing_incremental_is_found() {
    let (authority, (_origin, gateway)) = (Authority::new(), gateway("100ms").await);
    let strip = "http-response del-header incremental";
    let proxy = FrontProxy::haproxy(&authority, gateway.address(), BOTH, "", strip).await;

    let examined = examine(&proxy.url("https"), &authority, &[]).await;

    assert_eq!(examined.findings(), ["incremental"], "{}", examined.report);
}

#[tokio::test]
async fn a_certificate_that_ends_within_two_weeks_is_found() {
    let (authority, origin) = (Authority::new(), Origin::start().await);
    let identity = authority.server_until(Duration::from_secs(13 * 24 * 60 * 60));
    let setup = Setup::for_origin(&origin.url()).tls(&identity).delivery("heartbeat = \"100ms\"");
    let gateway = setup.start().await;

    let examined = examine(&format!("https://{}/prices", gateway.address()), &authority, &[]).await;

    assert_eq!(examined.findings(), ["certificate"], "{}", examined.report);
    assert!(examined.found().contains("12 days"), "{}", examined.report);
}

#[tokio::test]
async fn a_page_that_may_not_read_the_stream_is_found() {
    let (authority, (_origin, gateway)) = (Authority::new(), gateway("100ms").await);
    let strip = "http-response del-header access-control-allow-origin";
    let stripping = FrontProxy::haproxy(&authority, gateway.address(), BOTH, strip, "").await;
    let refuse = "http-request deny if METH_OPTIONS";
    let refusing = FrontProxy::haproxy(&authority, gateway.address(), BOTH, refuse, "").await;
    let (stripped_url, refused_url) = (stripping.url("https"), refusing.url("https"));

    let token = ["--origin", PAGE, "--token", "a.b.c"];
    let (stripped, refused, other) = tokio::join!(
        examine(&stripped_url, &authority, &["--origin", PAGE]),
        examine(&refused_url, &authority, &token),
        examine(&refused_url, &authority, &["--origin", "https://other.example.com"]),
    );

    for (examined, said) in [(stripped, "Access-Control-Allow-Origin"), (refused, "403"), (other, "other.example.com")]
    {
        assert_eq!(examined.findings(), ["cors"], "{}", examined.report);
        assert!(examined.found().contains(said), "{}", examined.report);
    }
}

#[tokio::test]
async fn what_cannot_be_examined_has_an_exit_status_of_its_own() {
    let (authority, origin) = (Authority::new(), Origin::start().await);
    let gateway = Setup::for_origin(&origin.url()).tls(&authority.server()).start().await;
    origin.refuse(404);
    let (stream, absent) = (format!("https://{}/prices", gateway.address()), format!("http://{}/prices", reserve()));

    let other = Authority::new();
    let (refused, unreachable, untrusted, invalid) = tokio::join!(
        examine(&stream, &authority, &[]),
        examine(&absent, &authority, &[]),
        examine(&stream, &other, &[]),
        examine("ftp://localhost/", &authority, &[]),
    );

    let expected = [
        (refused, "404 Not Found"),
        (unreachable, "cannot connect"),
        (untrusted, "TLS handshake"),
        (invalid, "scheme"),
    ];
    for (examined, said) in expected {
        assert_eq!(examined.status, Some(2), "{}", examined.said);
        assert!(examined.said.contains(said), "{}", examined.said);
    }
}
