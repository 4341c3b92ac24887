//! The memory of clients that are spread over all gateways, to be compared with one gateway's.

use std::time::Duration;

use serde_json::{Value, json};

use super::engine::Engine;
use super::gateways::Gateways;
use crate::Outcome;
use crate::control::Instruction;
use crate::load::Load;
use crate::process;
use crate::report::rounded;

/// Connects a third of the clients to each gateway, on a few streams, and lets them read ten events.
pub fn measure(gateways: &mut Gateways, engine: &Engine, clients: usize, streams: usize) -> Outcome<Value> {
    let share = clients / gateways.count();
    let memory = |gateways: &Gateways| -> Outcome<Vec<f64>> {
        (0..gateways.count()).map(|index| process::pss_kib(&process::tree(gateways.process(index)))).collect()
    };
    let mut loads = Vec::new();
    for index in 0..gateways.count() {
        let mut load = Load::new()?;
        load.connect(&gateways.client_settings(index), streams, Duration::from_secs(30))?;
        loads.push(load);
    }
    gateways.wait_for_owner(0, streams)?;
    let (before, engine_before) = (memory(gateways)?, process::pss_kib(&engine.processes())?);
    for (index, load) in loads.iter_mut().enumerate() {
        load.connect(&gateways.client_settings(index), share, Duration::from_secs(120))?;
    }
    gateways.send(Instruction::Rate(10.0))?;
    for load in &mut loads {
        load.receive(Duration::from_millis(350))?;
    }
    gateways.send(Instruction::Rate(0.0))?;
    let sent = gateways.sent()?;
    for load in &mut loads {
        load.settle(sent, Duration::from_secs(20))?;
        load.verdict()?;
    }
    let after = memory(gateways)?;
    let kib: Vec<_> =
        after.iter().zip(before).map(|(after, before)| rounded((after - before) / share as f64)).collect();
    let engine_mib = (process::pss_kib(&engine.processes())? - engine_before) / 1024.0;
    Ok(json!({ "clients": share * gateways.count(), "streams": streams, "kib_of_a_client": kib,
        "engine_grown_mib": rounded(engine_mib) }))
}
