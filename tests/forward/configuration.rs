//! The keys of `[routes.forward]` and the problems that `check` reports.

use std::fs;
use std::process::Output;

use crate::fixture::config;
use crate::support::server::Rillgate;

fn check(routes: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rillgate.toml");
    fs::write(&file, config("http://127.0.0.1:9", routes)).unwrap();
    let mut command = Rillgate::command();
    command.env("FORWARD_SECRET", "x".repeat(32)).arg("check").arg("--config").arg(&file);
    let Output { stdout, stderr, .. } = command.output().unwrap();
    String::from_utf8([stdout, stderr].concat()).unwrap()
}

fn route(keys: &str) -> String {
    format!("[[routes]]\nname = \"a\"\npath = \"/{{*rest}}\"\nupstream = \"app\"\nauth = \"public\"\n{keys}\n")
}

#[test]
fn a_route_that_forwards_is_summed_up_in_a_line() {
    let text = check(&route("[routes.forward]"));

    assert!(text.contains("route a: /{*rest} forwarded to app, public"), "{text}");
}

#[test]
fn what_is_for_streams_is_refused_beside_forwarding() {
    for (keys, message) in [
        ("[routes.forward]\n[routes.replay]\nevents = 5", "replay: has no effect beside [routes.forward]"),
        ("[routes.forward]\n[routes.delivery]\nlinger = \"1s\"", "delivery: has no effect beside [routes.forward]"),
        ("[routes.forward]\n[routes.share]\nquery = [\"a\"]", "share: has no effect beside [routes.forward]"),
        ("open = \"always\"\n[routes.forward]", "open: has no effect beside [routes.forward]"),
        ("on_end = \"complete\"\n[routes.forward]", "on_end: has no effect beside [routes.forward]"),
        ("soft_refusal = true\n[routes.forward]", "soft_refusal: has no effect beside [routes.forward]"),
        ("upstream_path = \"/a\"\n[routes.forward]", "upstream_path: has no effect beside [routes.forward]"),
        ("", "path: {*name} is only for routes with [routes.forward]"),
        ("[routes.forward]\nbody_bytes = 1", "body_bytes"),
    ] {
        let text = check(&route(keys));

        assert!(text.contains(message), "{keys:?}: {text}");
    }
    let last = check(&route("[routes.forward]").replace("/{*rest}", "/{*rest}/a"));
    assert!(last.contains("{*rest} is the rest of a path, so it is the last segment"), "{last}");
}
