//! Deliveries of a stream beside forwarded requests on the same gateway.
//!
//! The same requests go to the application in turn directly and through the gateway, so that clients and application cost
//! the same in both, and the difference is the gateway's. Without TLS, which the application does not speak. A turn is short, and
//! its neighbour is what it is compared with: what delays a turn's worst event is often the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::Scale;
use super::exchanges::{Exchange, Exchanges};
use super::servers::ForwardServer;
use crate::Outcome;
use crate::control::Instruction;
use crate::load::{ClientSettings, Load};
use crate::report::rounded;
use crate::scan::Ids;
use crate::server::{Kind, ServerSettings};
use crate::table::median;

/// The number of times that the requests take either way.
const TURNS: usize = 24;

/// Events of the stream in a second.
const EVENTS_PER_SECOND: f64 = 20.0;

/// Measures the latency of deliveries with the requests beside them and without.
///
/// # Errors
/// A reader lost, repeated or reordered an event, or a request failed.
pub fn measure(settings: &ServerSettings, scale: &Scale) -> Outcome<Value> {
    let settings = ServerSettings { is_tls: false, ..settings.clone() };
    let mut server = ForwardServer::start(Kind::Rillgate, &settings)?;
    let client_settings = ClientSettings {
        to: server.address(),
        tls: None,
        h2_streams: 0,
        paths: vec!["/feed/0".to_owned()],
        fields: Vec::new(),
        ids: Ids::Producers,
        first: 1,
        content: None,
        turns: None,
    };
    let mut readers = Load::new()?;
    readers.connect(&client_settings, scale.readers, Duration::from_secs(20))?;
    server.send(Instruction::Rate(EVENTS_PER_SECOND))?;
    readers.receive(scale.window.min(Duration::from_secs(1)))?;
    let rate = scale.requests_per_second / 3.0;
    let mut turns: [Vec<Histogram<u64>>; 2] = Default::default();
    for turn in 0..TURNS {
        let mut ways = [(server.application(), 0), (server.address(), 1)];
        // Either is the first of a pair as often as the other.
        if turn % 2 == 1 {
            ways.reverse();
        }
        for (to, way) in ways {
            let is_over = Arc::new(AtomicBool::new(false));
            let mut clients = Exchanges::connect(Exchange::Request, to, None, scale.connections)?;
            let ends = is_over.clone();
            let requests = std::thread::spawn(move || {
                let outcome = clients.run(rate, Duration::from_secs(600), || ends.load(Ordering::Relaxed));
                outcome.map_err(|error| error.to_string())
            });
            readers.receive(scale.window / 16)?;
            readers.tally.restart();
            readers.receive(scale.window / 2)?;
            is_over.store(true, Ordering::Relaxed);
            turns[way].push(readers.tally.latency.clone());
            requests.join().map_err(|_| "the clients panicked")??;
        }
    }
    server.send(Instruction::Rate(0.0))?;
    readers.settle(server.sent()?, Duration::from_secs(10))?;
    readers.verdict()?;
    let quantiles = |way: usize, quantile| -> Vec<f64> {
        turns[way].iter().map(|latency| latency.value_at_quantile(quantile) as f64 / 1000.0).collect()
    };
    let milliseconds = |way, quantile| rounded(median(quantiles(way, quantile)));
    let ratios = quantiles(1, 0.99).into_iter().zip(quantiles(0, 0.99)).map(|(forwarded, direct)| forwarded / direct);
    Ok(json!({
        "readers": scale.readers, "requests_per_second": rounded(rate), "turns": TURNS,
        "direct_p50_ms": milliseconds(0, 0.5), "direct_p99_ms": milliseconds(0, 0.99),
        "forwarded_p50_ms": milliseconds(1, 0.5), "forwarded_p99_ms": milliseconds(1, 0.99),
        "p99_ratio": rounded(median(ratios.collect())),
    }))
}
