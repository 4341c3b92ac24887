//! Many reloads under load do not affect clients of unchanged routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::client::{Client, Protocol};
use crate::support::figures::metric;
use crate::support::origin::{Emission, Origin};
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually};

const RELOADS: usize = 50;

/// Returns the configuration of this reload.
fn file(setup: &Setup, number: usize) -> String {
    let other = |rest: &str| {
        let route = "[[routes]]\nname = \"other\"\npath = \"/other/{x}\"\nupstream = \"origin\"\nauth = \"public\"\n";
        setup.clone().after(&format!("{route}{rest}")).toml()
    };
    match number % 5 {
        0 => other(""),
        1 => other("delivery = { heartbeat = \"7s\" }\n"),
        2 => other("upstream_path = \"/elsewhere/{x}\"\n"),
        3 => setup.toml().replace("[[routes]]", "[[routes"),
        _ => setup.toml(),
    }
}

/// Reads up to the event `end` and returns the number of the one before it. The numbers must have no hole.
async fn read_in_sequence(mut subscription: Subscription) -> u64 {
    let mut last = 0;
    loop {
        let event = subscription.next_event(DEADLINE).await;
        if event.data == "end" {
            return last;
        }
        assert_eq!(event.data.parse::<u64>().unwrap(), last + 1);
        last += 1;
    }
}

#[tokio::test]
async fn clients_of_unchanged_routes_do_not_notice_fifty_reloads() {
    let origin = Arc::new(Origin::start().await);
    let setup = Setup::for_origin(&origin.url()).replay("events = 100000").server("drain = { spread = \"10ms\" }");
    let gateway = setup.start().await;
    let mut readers = Vec::new();
    for _ in 0..50 {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let subscription = Client::new(protocol, gateway.address()).subscribe("/prices", &[]).await;
            assert_eq!(subscription.status, 200);
            readers.push(tokio::spawn(read_in_sequence(subscription)));
        }
    }
    origin.wait_open(1).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let emitting = tokio::spawn({
        let (origin, is_over) = (origin.clone(), is_over.clone());
        async move {
            let mut number = 0_u64;
            let mut pace = tokio::time::interval(Duration::from_millis(2));
            while !is_over.load(Ordering::Relaxed) {
                pace.tick().await;
                number += 1;
                origin.emit(Emission::event(&number.to_string(), "", &number.to_string()));
            }
            origin.emit("data: end\n\n");
            number
        }
    });

    for number in 0..RELOADS {
        gateway.rewrite(&file(&setup, number));
        gateway.signal("HUP");
        let wanted = (number + 1) as f64;
        eventually(DEADLINE, || async { metric(&gateway, "config_reloads_total", &[]).await >= wanted }).await;
        // While the other route exists, a client reads it.
        if number % 5 < 3 {
            let client = Client::http2(gateway.address());
            assert_eq!(client.subscribe("/other/x", &[]).await.status, 200, "reload {number}");
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let emitted = emitting.await.unwrap();

    for reader in readers {
        assert_eq!(reader.await.unwrap(), emitted);
    }
    assert_eq!(metric(&gateway, "config_reloads_total", &["result=\"refused\""]).await, RELOADS as f64 / 5.0);
    assert_eq!(origin.requests().iter().filter(|request| request.target == "/prices").count(), 1);
}
