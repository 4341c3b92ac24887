//! Streams of several routes in one store: none pushes out what another has within its share.

use super::*;
use crate::support::script::Answer;
use crate::support::setup::both_protocols;

/// A gateway with a public route `/public/{key}` and another one `/private/{name}`, both stored in 1 MiB.
fn two_routes(public: &Origin, private: &Origin, folder: &Path) -> String {
    let (public, private, folder) = (public.url(), private.url(), folder.display());
    format!(
        r#"
        [[listeners]]
        address = "127.0.0.1:0"
        [admin]
        address = "127.0.0.1:0"
        [store]
        path = "{folder}"
        bytes = "1MiB"
        [upstreams.public]
        urls = ["{public}"]
        [upstreams.private]
        urls = ["{private}"]
        [[routes]]
        name = "public"
        path = "/public/{{key}}"
        upstream = "public"
        auth = "public"
        [routes.replay]
        store = "disk"
        start = "oldest"
        [routes.delivery]
        linger = "1ms"
        [[routes]]
        name = "private"
        path = "/private/{{name}}"
        upstream = "private"
        auth = "public"
        [routes.replay]
        store = "disk"
        [routes.delivery]
        linger = "1ms"
        "#
    )
}

/// Reads 40 made-up keys, each of which begins with 64 KiB, and either leaves or stays. Then a client of the private
/// stream, which nobody has read meanwhile, returns.
async fn made_up_keys(do_stay: bool) {
    let greeting = format!("id: 1\ndata: {}\n\n", "x".repeat(64 << 10));
    let public = Origin::start_with(move |_| Answer::stream().then(greeting.clone())).await;
    let (private, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let gateway = Rillgate::start(&two_routes(&public, &private, folder.path())).await;
    gateway.wait_line("store in use", DEADLINE).await;
    let [http1, http2] = both_protocols(&gateway, None);
    let mut reader = http1.subscribe("/private/a", &[]).await;
    emit_to(&private, &mut reader, 1..=60).await;
    drop(reader);
    private.wait_open(0).await;

    let mut staying = Vec::new();
    for key in 0..40 {
        let mut reader = http2.subscribe(&format!("/public/{key}"), &[]).await;
        reader.next_event(DEADLINE).await;
        staying.extend(do_stay.then_some(reader));
    }
    eventually(DEADLINE, || async { has_counted(&gateway, "rillgate_store_given_up_total", 20.0).await }).await;

    let mut returning = http1.subscribe("/private/a", &[("last-event-id", "10")]).await;
    assert_eq!(returning.header("rillgate-resume"), "resumed;missed=50", "they stay: {do_stay}");
    assert_eq!(data(&mut returning, 50).await, (11..=60).collect::<Vec<_>>());
    let given_up = |what: &str| format!("rillgate_store_given_up_total{{what=\"{what}\"}}");
    let what = if do_stay { "segment" } else { "stream" };
    assert!(has_counted(&gateway, &given_up(what), 20.0).await, "they stay: {do_stay}");
    assert!(has_counted(&gateway, "rillgate_shares_refused_total{room=\"store\"}", 20.0).await);
}

#[tokio::test]
async fn closed_streams_of_made_up_keys_do_not_push_out_another_routes_stream() {
    made_up_keys(false).await;
}

#[tokio::test]
async fn open_streams_of_made_up_keys_do_not_push_out_another_routes_stream() {
    made_up_keys(true).await;
}
