//! The proxies of `docs/behind-a-proxy.md`, each with its configuration in `deploy/proxies`, in front of gateways: what the
//! page promises.

mod fixture;
mod proxy;
mod recipe;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use fixture::Site;
use recipe::Recipe;

use crate::doctor_fixture::{examine, idle_limit};
use crate::support::client::Protocol;
use crate::support::figures::lines_with;
use crate::support::origin::Emission;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually, within};

/// Makes a test of each function for each proxy.
macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {
        promises! { @of nginx = Recipe::Nginx, a_reload_with_a_limit_ends_streams_and_they_resume, $($promise),+ }
        promises! {
            @of haproxy_http = Recipe::HaproxyHttp, a_reload_with_a_limit_ends_streams_and_they_resume, $($promise),+
        }
        promises! {
            @of haproxy_tcp = Recipe::HaproxyTcp, a_reload_with_a_limit_ends_streams_and_they_resume, $($promise),+
        }
        promises! { @of caddy = Recipe::Caddy, it_stops_within_its_grace_period_and_not_before, $($promise),+ }
        promises! { @of envoy = Recipe::Envoy, a_reload_with_a_limit_ends_streams_and_they_resume, $($promise),+ }
    };
    (@of $proxy:ident = $recipe:expr, $($promise:ident),+) => {
        mod $proxy {
            use super::Recipe;

            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise($recipe).await;
                }
            )+
        }
    };
}

promises! {
    a_small_event_arrives_at_once_from_the_client_s_own_address,
    a_client_resumes_without_loss_over_each_protocol,
    only_the_gateway_compresses,
    heartbeats_keep_a_stream_open_beyond_the_idle_limit,
    a_reload_keeps_streams_open,
    a_gateway_that_drains_is_left_without_a_refusal,
    the_doctor_finds_nothing,
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 44, 9));

/// Far less than a heartbeat, which would push out what a buffer holds.
const AT_ONCE: Duration = Duration::from_secs(5);

async fn a_small_event_arrives_at_once_from_the_client_s_own_address(recipe: Recipe) {
    let site = Site::start(recipe, "heartbeat = \"1m\"", "").await;
    let pretended = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")];

    for (protocol, path) in [(Protocol::Http1, "/one"), (Protocol::Http2, "/two")] {
        let mut subscription = site.client(protocol).coming_from(CLIENT).subscribe(path, &pretended).await;
        site.origin.emit(Emission::event(path, "", "x"));
        let event = subscription.next_event(AT_ONCE).await;

        assert_eq!((subscription.status.as_u16(), &*event.data), (200, "x"), "{protocol:?}");
        drop(subscription);
        let line = format!("subscription ended client={CLIENT} route=\"all\" path=\"{path}\"");
        site.gateways[0].wait_line(&line, DEADLINE).await;
    }
}

async fn a_client_resumes_without_loss_over_each_protocol(recipe: Recipe) {
    let site = Site::start(recipe, "", "").await;
    let mut held = site.client(Protocol::Http2).subscribe("/prices", &[]).await;
    let emit = |ids: std::ops::Range<u32>| {
        ids.for_each(|id| site.origin.emit(Emission::event(&id.to_string(), "", "x")));
    };
    emit(0..5);
    held.next_events(5).await;
    emit(5..10);
    held.next_events(5).await;

    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut resumed = site.client(protocol).subscribe("/prices", &[("last-event-id", "4")]).await;
        let ids: Vec<_> = resumed.next_events(5).await.into_iter().map(|event| event.last_event_id).collect();

        assert!(resumed.header("rillgate-resume").starts_with("resumed"), "{protocol:?}: {:?}", resumed.headers);
        assert_eq!(ids, ["5", "6", "7", "8", "9"], "{protocol:?}");
    }
}

async fn only_the_gateway_compresses(recipe: Recipe) {
    let compressing = "[[routes]]\nname = \"coded\"\npath = \"/coded/{name}\"\nupstream = \"origin\"\nauth = \"public\"\n\
                       [routes.delivery]\ncompression = [\"gzip\"]\n";
    let site = Site::start(recipe, "", compressing).await;
    let accepting = [("accept-encoding", "gzip")];

    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = site.client(protocol);
        let (mut plain, mut coded, mut unwilling) = tokio::join!(
            client.subscribe("/prices", &accepting),
            client.subscribe("/coded/prices", &accepting),
            client.subscribe("/coded/prices", &[]),
        );
        site.origin.wait_open(2).await;
        site.origin.emit(Emission::event(&format!("{protocol:?}"), "", "x"));

        let codings = [&plain, &coded, &unwilling].map(|subscription| subscription.header("content-encoding"));
        assert_eq!(codings, ["", "gzip", ""], "{protocol:?}");
        for subscription in [&mut plain, &mut coded, &mut unwilling] {
            assert_eq!(subscription.next_event(AT_ONCE).await.data, "x", "{protocol:?}");
        }
    }
}

async fn heartbeats_keep_a_stream_open_beyond_the_idle_limit(recipe: Recipe) {
    let limit = idle_limit();
    // A second route with too few of them shows that the limit is there.
    let silent = "[[routes]]\nname = \"silent\"\npath = \"/silent/{name}\"\nupstream = \"origin\"\nauth = \"public\"\n\
                  [routes.delivery]\nheartbeat = \"10m\"\n";
    let heartbeat = format!("heartbeat = \"{}ms\"", limit.as_millis() / 4);
    let configure = |setup: Setup| setup.delivery(&heartbeat).after(silent);
    let site = Site::start_with(recipe, configure, 1, |text| Recipe::with_idle_limits(&text, limit)).await;

    let (kept, cut) =
        tokio::join!(site.subscribe_twice("/prices", CLIENT), site.subscribe_twice("/silent/prices", CLIENT));
    // To a TCP proxy, the gateway's PING frames of HTTP/2 end a silence too.
    let cut_protocols = if recipe.is_tcp() { 1 } else { 2 };
    for mut cut in cut.into_iter().take(cut_protocols) {
        cut.ending(limit + DEADLINE).await;
    }
    for mut kept in kept {
        // Twice as many as the limit has room for.
        for _ in 0..8 {
            kept.next_comment("", limit + DEADLINE).await;
        }
    }
}

async fn a_reload_keeps_streams_open(recipe: Recipe) {
    let mut site = Site::start(recipe, "", "").await;
    let held = site.subscribe_twice("/prices", CLIENT).await;

    site.proxy.reload(false).await;

    let new = site.subscribe_twice("/prices", CLIENT).await;
    site.origin.emit(Emission::event("1", "", "x"));
    for mut subscription in held.into_iter().chain(new) {
        assert_eq!(subscription.next_event(DEADLINE).await.last_event_id, "1");
    }
}

async fn a_reload_with_a_limit_ends_streams_and_they_resume(recipe: Recipe) {
    let change = |text: String| recipe.with_a_limit_after_reloads(&text);
    let mut site = Site::start_with(recipe, |setup| setup, 1, change).await;
    let held = site.subscribe_twice("/prices", CLIENT).await;
    site.origin.emit(Emission::event("1", "", "x"));

    site.proxy.reload(true).await;

    for mut held in held {
        assert_eq!(held.next_event(DEADLINE).await.last_event_id, "1");
        held.ending(DEADLINE).await;
    }
    site.origin.emit(Emission::event("2", "", "x"));
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut resumed = site.client(protocol).subscribe("/prices", &[("last-event-id", "1")]).await;
        assert!(resumed.header("rillgate-resume").starts_with("resumed"), "{protocol:?}: {:?}", resumed.headers);
        assert_eq!(resumed.next_event(DEADLINE).await.last_event_id, "2", "{protocol:?}");
    }
}

async fn it_stops_within_its_grace_period_and_not_before(recipe: Recipe) {
    let change = |text: String| text.replace("grace_period 10s", "grace_period 1s");
    let mut site = Site::start_with(recipe, |setup| setup, 1, change).await;
    let held = site.subscribe_twice("/prices", CLIENT).await;

    site.proxy.stop().await;

    for mut held in held {
        held.ending(DEADLINE).await;
    }
}

async fn a_gateway_that_drains_is_left_without_a_refusal(recipe: Recipe) {
    let configure =
        |setup: Setup| setup.server("drain = { notice = \"5s\", spread = \"0s\" }").replay("read_through = true");
    let change = |text: String| recipe.with_frequent_health_checks(&text);
    let site = Site::start_with(recipe, configure, 2, change).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.extend(site.subscribe_twice("/prices", CLIENT).await);
    }
    site.origin.emit(Emission::event("1", "", "x"));
    for held in &mut held {
        held.next_event(DEADLINE).await;
    }

    site.gateways[0].signal("TERM");

    let client = site.client(Protocol::Http2);
    while site.gateways[0].exit_status().is_none() {
        let mut read = client.subscribe("/prices?follow=false", &[]).await;
        assert_eq!(read.status, 200);
        read.ending(DEADLINE).await;
    }
    site.origin.emit(Emission::event("2", "", "x"));
    let mut moved = 0;
    for mut held in held {
        // Those of the other gateway get the event.
        let is_open = held.events().await.is_some();
        if !is_open {
            moved += 1;
            let mut resumed = client.subscribe("/prices", &[("last-event-id", "1")]).await;
            assert_eq!(resumed.next_event(DEADLINE).await.last_event_id, "2");
        }
    }
    assert!((1..8).contains(&moved), "{moved} of 8 were at the gateway that drained");
}

async fn the_doctor_finds_nothing(recipe: Recipe) {
    let site = Site::start(recipe, "heartbeat = \"100ms\"", "").await;

    let url = site.url("/prices");
    let examined = within(DEADLINE, "report", examine(&url, &site.authority, &[])).await;

    assert!(examined.findings().is_empty(), "{}", examined.report);
    assert_eq!(examined.report["protocol"], "HTTP/2");
    assert!(examined.report["heartbeats"].as_u64().unwrap() >= 3, "{}", examined.report);
    eventually(DEADLINE, || async { lines_with(&site.gateways[0], &["subscription ended client="]) >= 4 }).await;
}

#[tokio::test]
async fn the_doctor_finds_envoy_s_limit_on_the_whole_response() {
    // The default is 15 s.
    let change = |text: String| text.replace("timeout: 0s ", "timeout: 1s ");
    let configure = |setup: Setup| setup.delivery("heartbeat = \"100ms\"");
    let site = Site::start_with(Recipe::Envoy, configure, 1, change).await;

    let url = site.url("/prices");
    let examined = within(DEADLINE, "report", examine(&url, &site.authority, &["--for", "10s"])).await;

    assert_eq!(examined.findings(), ["cut_off"], "{}", examined.report);
}
