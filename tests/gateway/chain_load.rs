//! An edge that reads 2,000 streams of its core, each with a connection of its own and all on one.
//!
//! `cargo test --test gateway chain_load -- --nocapture` prints what it costs. docs/chaining.md has the figures.

use std::time::Duration;

use crate::chain_fixture::QUICK;
use crate::support::client::Client;
use crate::support::figures::{cpu_time, metric, resident};
use crate::support::load::{LONG, request};
use crate::support::origin::{Emission, Origin};
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::eventually;

const STREAMS: usize = 2000;

/// The number of events of each stream.
const EVENTS: usize = 20;

const LIMITS: &str = "h2_streams = 2000\nconnections_per_ip = 5000\nstreams_per_ip = 5000\n\
                      stream_opens_per_second = { ip = 5000, route = 5000 }";

/// The costs of one gateway.
#[derive(Clone, Copy)]
struct Cost {
    /// Resident memory of all streams.
    bytes: u64,
    opening: Duration,
    events: Duration,
}

impl Cost {
    fn print(self, name: &str) {
        let of = |time: Duration, count: usize| time.as_secs_f64() * 1e6 / count as f64;
        println!(
            "{name}: {:.1} KiB and {:.0} µs to open for each stream, {:.1} µs for each event",
            self.bytes as f64 / 1024.0 / STREAMS as f64,
            of(self.opening, STREAMS),
            of(self.events, STREAMS * EVENTS),
        );
    }
}

/// Opens all streams through a new edge and core, and reads the events of each. Returns the costs of both, and the number of
/// connections to the core.
async fn run(http2: bool) -> ([Cost; 2], f64) {
    let origin = Origin::start().await;
    let core = Setup::for_origin(&origin.url()).upstream(QUICK).limits(LIMITS).start().await;
    let edge = Setup::for_origin(&format!("http://{}", core.address())).upstream(QUICK).limits(LIMITS);
    let edge = edge.upstream(&format!("http2 = {http2}")).start().await;
    let gateways = [&edge, &core];
    let now = || gateways.map(|gateway: &Rillgate| (resident(gateway), cpu_time(gateway)));

    let begun = now();
    let mut client = Client::http2(edge.address()).connect().await.unwrap();
    let mut readers = Vec::new();
    for stream in 0..STREAMS {
        readers.push(request(&mut client, &format!("/{stream}")).await);
    }
    eventually(LONG, || async { origin.connections().open == STREAMS }).await;
    let opened = now();
    for number in 0..EVENTS {
        let text = format!("{number:0200}");
        origin.emit(Emission::event(&number.to_string(), "", &text));
        for reader in &mut readers {
            assert_eq!(reader.next_event(LONG).await.data, text);
        }
    }
    let read = now();

    let cost = |gateway: usize| Cost {
        bytes: read[gateway].0.saturating_sub(begun[gateway].0),
        opening: opened[gateway].1.saturating_sub(begun[gateway].1),
        events: read[gateway].1.saturating_sub(opened[gateway].1),
    };
    ([cost(0), cost(1)], metric(&core, "connections_total", &[]).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_with_2000_streams_takes_less_memory_with_one_connection() {
    let (apart, connections) = run(false).await;
    assert_eq!(connections, STREAMS as f64);
    let (together, connections) = run(true).await;
    assert_eq!(connections, 1.0);

    for (name, [edge, core]) in [("HTTP/1.1", apart), ("HTTP/2", together)] {
        edge.print(&format!("{name}, edge"));
        core.print(&format!("{name}, core"));
    }
    let (apart, together) = (apart[0].bytes, together[0].bytes);
    assert!(4 * together < 3 * apart, "{together} instead of {apart} bytes");
}
