//! Deliveries of a stream beside forwarded requests on the same gateway.
//!
//! The same requests go to the application in turn directly and through the gateway, so that clients and application cost
//! the same in both, and the difference is the gateway's. Without TLS, which the application does not speak.

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

/// The number of times that the requests take either way.
const TURNS: usize = 5;

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
    };
    let mut readers = Load::new()?;
    readers.connect(&client_settings, scale.readers, Duration::from_secs(20))?;
    server.send(Instruction::Rate(10.0))?;
    readers.receive(scale.window.min(Duration::from_secs(1)))?;
    let rate = scale.requests_per_second / 3.0;
    let mut latency =
        [Histogram::<u64>::new_with_bounds(1, 600_000_000, 3)?, Histogram::new_with_bounds(1, 600_000_000, 3)?];
    for _ in 0..TURNS {
        for (to, latency) in [server.application(), server.address()].into_iter().zip(&mut latency) {
            let is_over = Arc::new(AtomicBool::new(false));
            let mut clients = Exchanges::connect(Exchange::Request, to, None, scale.connections)?;
            let ends = is_over.clone();
            let requests = std::thread::spawn(move || {
                let outcome = clients.run(rate, Duration::from_secs(600), || ends.load(Ordering::Relaxed));
                outcome.map_err(|error| error.to_string())
            });
            readers.receive(scale.window / 8)?;
            readers.tally.restart();
            readers.receive(scale.window)?;
            is_over.store(true, Ordering::Relaxed);
            latency.add(&readers.tally.latency)?;
            requests.join().map_err(|_| "the clients panicked")??;
        }
    }
    server.send(Instruction::Rate(0.0))?;
    readers.settle(server.sent()?, Duration::from_secs(10))?;
    readers.verdict()?;
    let milliseconds =
        |latency: &Histogram<u64>, quantile| rounded(latency.value_at_quantile(quantile) as f64 / 1000.0);
    let [direct, forwarded] = &latency;
    Ok(json!({
        "readers": scale.readers, "requests_per_second": rounded(rate),
        "direct_p50_ms": milliseconds(direct, 0.5), "direct_p99_ms": milliseconds(direct, 0.99),
        "forwarded_p50_ms": milliseconds(forwarded, 0.5), "forwarded_p99_ms": milliseconds(forwarded, 0.99),
        "p99_ratio": rounded(milliseconds(forwarded, 0.99) / milliseconds(direct, 0.99)),
    }))
}
