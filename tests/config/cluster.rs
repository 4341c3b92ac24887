//! `[cluster]`: its forms, and what routes ask of it.

use std::time::Duration;

use rillgate::cluster::EngineCredentials;

use super::{Folder, GOOD, SECRET};

const CLUSTER: &str = "urls = [\"nats://127.0.0.1:4222\"]\nkey = { file = \"hmac.key\" }";

/// A file with this `[cluster]`, whose keys begin in line 16.
fn with(cluster: &str) -> String {
    GOOD.replace("# end", &format!("[cluster]\n{cluster}"))
}

#[test]
fn a_cluster_has_defaults_for_everything_but_its_engine_and_key() {
    let folder = Folder::new();

    let cluster = folder.parse(&with(CLUSTER)).unwrap().cluster.unwrap();

    assert_eq!(cluster.name.as_str(), "rillgate");
    assert_eq!((cluster.lease, cluster.replicas, cluster.bytes), (Duration::from_secs(3), 3, 1 << 30));
    assert!(cluster.is_managed && matches!(cluster.credentials, EngineCredentials::Anonymous));
    assert_eq!(cluster.keys[0].reveal(), SECRET.as_bytes());
}

#[test]
fn the_log_keeps_what_the_routes_of_the_cluster_ask_for() {
    let folder = Folder::new();
    let routes = GOOD
        .replace("# end", "replay = { store = \"cluster\", events = 5000, age = \"1h\" }")
        .replace("# top", &format!("[cluster]\n{CLUSTER}"));

    let cluster = folder.parse(&routes).unwrap().cluster.unwrap();

    assert_eq!((cluster.log_events, cluster.log_age), (5000, Duration::from_secs(3600)));
}

#[test]
fn each_form_of_credentials_is_read() {
    let folder = Folder::new();
    let read = |form: &str| folder.parse(&with(&format!("{CLUSTER}\n{form}"))).unwrap().cluster.unwrap().credentials;

    let secret = |credentials| match credentials {
        EngineCredentials::Anonymous => panic!("no credentials"),
        EngineCredentials::Token(secret) | EngineCredentials::Nkey(secret) | EngineCredentials::File(secret) => secret,
        EngineCredentials::Password { user, password } => {
            assert_eq!(user, "me");
            password
        }
    };
    for form in [
        "credentials = { file = \"hmac.key\" }",
        "nkey = { file = \"hmac.key\" }",
        "token = { env = \"SET\" }",
        "user = \"me\"\npassword = { env = \"SET\" }",
    ] {
        assert_eq!(secret(read(form)).reveal(), SECRET.as_bytes(), "{form}");
    }
}

#[test]
fn mistakes_are_reported_where_they_are() {
    let folder = Folder::new();
    for (cluster, place, words) in [
        ("key = { file = \"hmac.key\" }", "15:1: cluster.urls: ", "missing required key"),
        ("urls = []\nkey = { file = \"hmac.key\" }", "16:8: cluster.urls: ", "must not be empty"),
        ("urls = [\"http://n1\"]\nkey = { file = \"hmac.key\" }", "16:9: cluster.urls[0]: ", "nats://"),
        ("urls = [\"nats://me:pw@n1\"]\nkey = { file = \"hmac.key\" }", "16:9: cluster.urls[0]: ", "credentials"),
        ("urls = [\"nats://n1\"]", "15:1: cluster.key: ", "missing required key"),
        ("urls = [\"nats://n1\"]\nkey = { file = \"short.key\" }", "17:7: cluster.key: ", "at least 32 bytes"),
        ("urls = [\"nats://n1\"]\nkey = { env = \"UNSET\" }", "17:15: cluster.key.env: ", "not set"),
        ("urls = [\"nats://n1\"]\nkey = []", "17:7: cluster.key: ", "one key, or two"),
        (
            "urls = [\"nats://n1\"]\nkey = [{ env = \"SET\" }, { file = \"hmac.key\" }]",
            "17:25: cluster.key[1]: ",
            "the same key twice",
        ),
        ("NAME = 1", "16:1: cluster.NAME: ", "unknown key"),
        ("name = \"a.b\"", "16:8: cluster.name: ", "letters, digits"),
        ("lease = \"500ms\"", "16:9: cluster.lease: ", "between 1s and 60s"),
        ("lease = \"61s\"", "16:9: cluster.lease: ", "between 1s and 60s"),
        ("replicas = 2", "16:12: cluster.replicas: ", "1, 3 or 5"),
        ("replicas = 7", "16:12: cluster.replicas: ", "between 1 and 5"),
        ("token = { env = \"SET\" }\nnkey = { env = \"SET\" }", "16:9: cluster.token: ", "conflicts with nkey"),
        ("user = \"me\"", "16:8: cluster.user: ", "needs password"),
        ("password = { env = \"SET\" }", "16:12: cluster.password: ", "needs user"),
        ("token = \"t\"", "16:9: cluster.token: ", "expected a table"),
        ("tls.ca_file = \"none.pem\"", "16:15: cluster.tls.ca_file: ", "cannot read the file"),
    ] {
        let is_whole = cluster.contains("urls") || cluster.starts_with("key");
        let text = if is_whole { with(cluster) } else { with(&format!("{cluster}\n{CLUSTER}")) };

        let problems = folder.problems(&text);

        assert!(problems.len() == 1, "{cluster}: {problems:#?}");
        assert!(problems[0].contains(place) && problems[0].contains(words), "{cluster}: {problems:#?}");
    }
}

#[test]
fn a_route_of_the_cluster_needs_the_table() {
    let folder = Folder::new();

    let problems = folder.problems(&GOOD.replace("# end", "replay.store = \"cluster\""));

    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("15:16: routes[0].replay.store: \"cluster\" needs a [cluster] table"),
        "{problems:#?}"
    );
}

#[test]
fn check_describes_the_cluster_and_warns_without_tls() {
    let folder = Folder::new();
    let urls = "urls = [\"nats://127.0.0.1:4222\", \"tls://n1\", \"nats://n2:4222\", \"nats://[::1]\"]";

    let config = folder.parse(&with(&format!("{urls}\nkey = {{ file = \"hmac.key\" }}"))).unwrap();
    let summary = config.summary();

    let line = "cluster rillgate: nats://127.0.0.1:4222, tls://n1, nats://n2:4222, nats://[::1], lease 3s, 3 replicas, \
                at most 1024 MiB";
    assert!(summary.lines().any(|other| other == line), "{summary}");
    let warnings: Vec<_> = summary.lines().filter(|line| line.starts_with("warning: cluster")).collect();
    assert_eq!(
        warnings,
        ["warning: cluster: nats://n2:4222 has no TLS: events and credentials are sent in clear text"]
    );
}

#[test]
fn nothing_shows_a_secret_of_the_cluster() {
    let folder = Folder::new();
    let text = with(&format!("{CLUSTER}\nuser = \"me\"\npassword = {{ env = \"SET\" }}"));

    let config = folder.parse(&text).unwrap();

    for shown in [format!("{config:?}"), config.summary(), config.effective.to_string()] {
        assert!(!shown.contains("hunter2") && !shown.contains("104, 117, 110"), "{shown}");
    }
    assert_eq!(config.effective["cluster"]["key"], "[redacted]");
    assert_eq!(config.effective["cluster"]["password"], "[redacted]");
}

#[test]
fn a_changed_cluster_takes_effect_after_a_restart() {
    let folder = Folder::new();
    let running = folder.parse(&with(CLUSTER)).unwrap();
    let changes = |text: &str| folder.parse(text).unwrap().restart_only_changes(&running);

    assert_eq!(changes(&with(CLUSTER)), [""; 0]);
    assert_eq!(changes(GOOD), ["cluster"]);
    assert_eq!(changes(&with(&format!("{CLUSTER}\nlease = \"5s\""))), ["cluster"]);
    assert_eq!(changes(&with(&format!("{CLUSTER}\ntoken = {{ env = \"SET\" }}"))), ["cluster"]);
    assert_eq!(changes(&with(&CLUSTER.replace("hmac.key", "two-lines"))), ["cluster"]);
    // The log in the engine was made for the routes of the start.
    let longer = GOOD.replace("# end", "replay = { store = \"cluster\", age = \"1h\" }\n[cluster]");
    assert_eq!(changes(&format!("{longer}\n{CLUSTER}")), ["cluster"]);
}
