//! The checker: 500 clients while everything fails, one after the other.

use std::collections::BTreeMap;

use super::faults::{Faults, SHORT_RUN, is_over, pause};
use super::recorded_producer::generator;
use super::trial::Trial;
use super::{TURN, setting};
use crate::support::nats::NatsCluster;

const CLIENTS: u64 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_repeated_or_told_wrongly_whatever_fails() {
    let _turn = TURN.lock().await;
    let (clients, seconds) = (setting("RILLGATE_CLIENTS").unwrap_or(CLIENTS), setting("RILLGATE_SECONDS"));
    let mut trial = Trial::start("cluster", NatsCluster::start().await, clients).await;

    let rng = generator(trial.seed ^ 0xC2, 0);
    let mut faults = Faults { trial: &mut trial, rng, made: BTreeMap::new() };
    let mut count = 0;
    while !is_over(faults.trial.elapsed(), seconds, count) {
        let fault = SHORT_RUN[count % SHORT_RUN.len()];
        faults.make(fault).await;
        pause(&mut faults.rng, fault).await;
        count += 1;
    }

    let made = format!("{count} failures {:?}", faults.made);
    trial.finish(&made).await;
}
