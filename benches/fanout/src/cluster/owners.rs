//! The time until all streams of a killed gateway have an owner again, and what so many streams take.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::engine::Engine;
use super::gateways::Gateways;
use crate::load::Load;
use crate::process;
use crate::report::rounded;
use crate::{Outcome, control::Instruction};

/// Opens all streams at the first of three gateways, which owns them, and at the two others, and kills the first.
pub fn measure(gateways: &mut Gateways, engine: &Engine, streams: usize, lease: Duration) -> Outcome<Value> {
    /// Streams of one connection: the descriptors of the load generator are few.
    const TOGETHER: usize = 50;
    let connections = streams.div_ceil(TOGETHER);
    let mut loads = Vec::new();
    let cpu =
        |gateways: &Gateways| [0, 1, 2].map(|index| process::cpu_seconds(&process::tree(gateways.process(index))));
    let (gateways_before, engine_before) = (cpu(gateways), process::cpu_seconds(&engine.processes()));
    let opened = Instant::now();
    for index in 0..gateways.count() {
        let mut client_settings = gateways.client_settings(index);
        client_settings.h2_streams = TOGETHER;
        let mut load = Load::new()?;
        load.connect(&client_settings, connections, Duration::from_secs(180))?;
        if index == 0 {
            gateways.wait_for_owner(0, streams)?;
        }
        loads.push(load);
    }
    let opened = opened.elapsed();
    let opening_cpu: Vec<_> =
        cpu(gateways).iter().zip(gateways_before).map(|(after, before)| rounded(after - before)).collect();
    let opening_engine_cpu = process::cpu_seconds(&engine.processes()) - engine_before;
    gateways.send(Instruction::Rate(0.2))?;
    for load in &mut loads {
        load.receive(Duration::from_secs(2))?;
    }
    gateways.send(Instruction::Rate(0.0))?;
    let memory = |index: usize| process::pss_kib(&process::tree(gateways.process(index)));
    let memory = [memory(0)?, memory(1)?, memory(2)?].map(|kib| rounded(kib / 1024.0));
    let engine_memory = rounded(process::pss_kib(&engine.processes())? / 1024.0);
    let (before, engine_before) = (cpu(gateways), process::cpu_seconds(&engine.processes()));

    drop(loads.remove(0));
    let killed = Instant::now();
    gateways.kill(0)?;
    let until = lease * 2 + Duration::from_secs(60);
    let mut owned = 0;
    while owned < streams && killed.elapsed() < until {
        std::thread::sleep(Duration::from_millis(50));
        owned = gateways.owned(1) + gateways.owned(2);
    }
    let seconds = killed.elapsed().as_secs_f64();
    let after = [1, 2].map(|index| process::cpu_seconds(&process::tree(gateways.process(index))) - before[index]);
    Ok(json!({
        "streams": streams, "lease_seconds": lease.as_secs(), "opened_seconds": rounded(opened.as_secs_f64()),
        "opening_cpu_seconds": opening_cpu, "opening_engine_cpu_seconds": rounded(opening_engine_cpu),
        "gateway_mib": memory, "engine_mib": engine_memory,
        "owned_again": owned, "owned_again_seconds": rounded(seconds), "takeover_cpu_seconds": after.map(rounded),
        "takeover_engine_cpu_seconds": rounded(process::cpu_seconds(&engine.processes()) - engine_before),
    }))
}
