//! Tests of the identity: what belongs to it, what does not, and its value for one configuration.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::route::Route;
use crate::runtime::connect_budget::ConnectBudget;
use crate::runtime::resolver::Resolver;
use crate::stream::LivePolicy;
use crate::telemetry::Metrics;

/// Everything that a stream's identity depends on.
#[derive(Clone, Debug, PartialEq)]
struct Parts {
    route: String,
    path: String,
    shared: Vec<(String, String)>,
    upstream: [u8; 32],
    resource: Resource,
    ids: Ids,
}

impl Parts {
    fn identity(&self) -> StreamIdentity {
        let Self { route, path, shared, upstream, resource, ids } = self;
        stream_identity(route, path, shared, upstream, resource, *ids)
    }
}

/// A short text over few characters, so that different parts often concatenate alike.
fn text() -> impl Strategy<Value = String> {
    "[ab:]{0,2}"
}

fn parts() -> impl Strategy<Value = Parts> {
    let shared = prop::collection::vec((text(), text()), 0..3);
    let ids = prop_oneof![Just(Ids::Keep), Just(Ids::Fill), Just(Ids::Replace)];
    (text(), text(), shared, 0_u8..2, text(), text(), ids).prop_map(
        |(route, path, shared, upstream, sent_path, query, ids)| Parts {
            route,
            path,
            shared,
            upstream: [upstream; 32],
            resource: Resource { path: sent_path, query },
            ids,
        },
    )
}

proptest! {
    #[test]
    fn two_streams_have_one_identity_only_if_all_parts_are_equal(one in parts(), other in parts()) {
        prop_assert_eq!(one.identity() == other.identity(), one == other);
        prop_assert_eq!(one.identity(), one.clone().identity());
    }
}

const CONFIG: &str = r#"
    [[listeners]]
    address = "127.0.0.1:0"
    [upstreams.prices]
    urls = ["http://10.0.0.5:9000/feeds?region=eu"]
    headers = { authorization = { env = "TOKEN" }, x-mode = "full" }
    [[routes]]
    name = "prices"
    path = "/prices/{symbol}"
    upstream = "prices"
    upstream_path = "/v1/{symbol}?depth=5"
    auth = "public"
    [routes.share]
    query = ["venue"]
    headers = ["x-tenant"]
    [routes.replay]
    events = 1000
    ids = "keep"
"#;

/// Returns the identity, in hexadecimal digits, of `/prices/gold` with a venue and a tenant.
fn identity_with(config: &str, secret: &str) -> String {
    let config = Config::parse_with(config, Path::new(""), &|_| Some(secret.into())).expect("a valid file");
    let (settings, metrics) = (config.routes[0].clone(), Metrics::new("0"));
    let policy = LivePolicy::new(settings.stream);
    let budget = ConnectBudget::new(Resolver::new(Arc::new(|| ())), Arc::new(|| ()));
    let route = Route::new(settings, None, policy, metrics.route("prices"), metrics.shares(), &budget);
    let captures = [("symbol".to_owned(), "gold".to_owned())];
    let shared = vec![("venue".to_owned(), "ldn".to_owned()), ("x-tenant:".to_owned(), "acme".to_owned())];
    let key = route.stream_key("/prices/gold", &captures, shared);
    key.identity.0.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// A change of this value loses every stored log and separates gateways of different versions.
#[test]
fn the_identity_is_the_same_in_every_process_and_build() {
    assert_eq!(identity_with(CONFIG, "old"), "7edcb6c3bc0757594f289fa67b5bcd72338f78a3ac1e33176cc20513c5080936");
}

#[test]
fn settings_that_do_not_decide_the_events_are_no_part_of_the_identity() {
    let identity = identity_with(CONFIG, "old");
    assert_eq!(identity_with(CONFIG, "new"), identity, "the value of a secret");

    for (from, to) in [
        ("/feeds?region=eu\"]", "/feeds?region=eu\", \"http://10.0.0.6:9000\"]"),
        (
            "{ authorization = { env = \"TOKEN\" }, x-mode = \"full\" }",
            "{ x-mode = \"full\", authorization = { env = \"OTHER\" } }",
        ),
        ("events = 1000", "events = 10\nage = \"1s\"\nbytes = \"1KiB\"\nverdict = \"event\"\nstart = \"oldest\""),
        ("auth = \"public\"", "auth = \"public\"\non_end = \"complete\"\ndelivery = { linger = \"1s\" }"),
        ("[upstreams.prices]", "[upstreams.prices]\nresume = { query = \"since\" }\nmax_event = \"2MiB\""),
    ] {
        assert!(CONFIG.contains(from), "{from}");
        assert_eq!(identity_with(&CONFIG.replace(from, to), "old"), identity, "{to}");
    }
}

#[test]
fn whatever_decides_the_events_is_a_part_of_the_identity() {
    let identity = identity_with(CONFIG, "old");
    for (from, to) in [
        ("10.0.0.5", "10.0.0.6"),
        ("http:", "https:"),
        (":9000/feeds", ":9001/feeds"),
        ("/feeds?", "/feed?"),
        ("region=eu", "region=us"),
        ("authorization = {", "x-key = {"),
        ("authorization = { env = \"TOKEN\" }", "authorization = \"old\""),
        ("x-mode = \"full\"", "x-mode = \"brief\""),
        ("/v1/{symbol}?depth=5", "/v2/{symbol}?depth=5"),
        ("depth=5", "depth=6"),
        ("ids = \"keep\"", "ids = \"fill\""),
        ("ids = \"keep\"", "ids = \"replace\""),
        ("name = \"prices\"", "name = \"quotes\""),
    ] {
        assert!(CONFIG.contains(from), "{from}");
        assert_ne!(identity_with(&CONFIG.replace(from, to), "old"), identity, "{to}");
    }
}
