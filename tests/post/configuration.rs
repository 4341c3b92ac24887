//! The keys of `[routes.post]` and the problems that `check` reports.

use std::fs;
use std::process::Output;

use http::Method;

use crate::fixture::{SECRET, chat, config, public_chat, send, start};
use crate::support::client::Client;
use crate::support::server::Rillgate;

fn check(upstream: &str, routes: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rillgate.toml");
    fs::write(&file, config("http://127.0.0.1:9", upstream, routes)).unwrap();
    let mut command = Rillgate::command();
    command.env("POST_SECRET", SECRET).arg("check").arg("--config").arg(&file);
    let Output { stdout, stderr, .. } = command.output().unwrap();
    String::from_utf8([stdout, stderr].concat()).unwrap()
}

#[test]
fn a_route_that_is_opened_by_post_is_summed_up_in_a_line() {
    let text = check("", &chat("key = \"body\"", ""));

    assert!(text.contains("route chat: /chat from model") && text.contains("opened by POST"), "{text}");
}

#[test]
fn what_would_share_or_send_by_accident_is_refused() {
    for (routes, message) in [
        (chat("", ""), "post.key: missing required key"),
        (chat("key = \"path\"", ""), "expected \"body\", \"each\" or \"header:NAME\""),
        (public_chat("key = \"body\"", ""), "everyone with the same key would share a stream"),
        (public_chat("key = \"header:a\"", ""), "everyone with the same key would share a stream"),
        (chat("key = \"body\"\nforward_headers = [\"te\"]", ""), "applies to a single connection"),
        (chat("key = \"body\"\nforward_headers = [\"Host\"]", ""), "is set by the gateway"),
        (chat("key = \"body\"\nforward_headers = [\"last-event-id\"]", ""), "is set by the gateway"),
        (chat("key = \"body\"\nforward_headers = [\"x-forwarded-for\"]", ""), "is never sent upstream"),
        (chat("key = \"body\"\nforward_headers = [\"x-key\"]", ""), "is already set by the upstream's headers"),
        (chat("key = \"body\"\nforward_headers = [\"accept\"]", ""), "is sent in any case"),
        (chat("key = \"body\"", "[routes.replay]\nread_through = true"), "would send a POST again"),
        (chat("key = \"body\"", "[routes.replay]\nstore = \"cluster\""), "needs a [cluster] table"),
        (chat("key = \"body\"", "").replace("upstream =", "on_end = \"reconnect\"\nupstream ="), "needs post.retry"),
        (chat("key = \"body\"", "").replace("upstream =", "open = \"always\"\nupstream ="), "each POST may open one"),
        (chat("key = \"body\"", "[routes.share]\nquery = [\"rillgate-stream\"]"), "reserved for the gateway"),
    ] {
        let text = check("headers = { x-key = \"a\" }", &routes);

        assert!(text.contains(message), "{routes}: {text}");
    }
}

#[tokio::test]
async fn the_admin_port_shows_the_defaults_beside_the_table() {
    let route = chat("key = \"body\"", "[routes.delivery]\nlinger = \"1m\"");
    let gateway = start(&config("http://127.0.0.1:9", "", &route)).await;

    let shown = send(&Client::http1(gateway.admin()), Method::GET, "/config", &[], "").await.whole().await;

    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let route = &shown["routes"][0];
    assert_eq!((&route["on_end"], &route["replay"]["ids"]), (&"complete".into(), &"fill".into()), "{route}");
    assert_eq!((&route["replay"]["start"], &route["delivery"]["when_down"]), (&"oldest".into(), &"refuse".into()));
    assert_eq!((&route["delivery"]["linger"], &route["delivery"]["answer_within"]), (&"1m".into(), &"0s".into()));
}
