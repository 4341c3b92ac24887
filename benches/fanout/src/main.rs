//! The fan-out harness: clients, a ceiling, a producer, and servers to compare, each on its own core.
//!
//! `benches/run` starts it; method and figures are in benches/README.md. The same program is the load generator, and,
//! as its own children, the ceiling server and the producer.

#![allow(clippy::disallowed_methods, reason = "no gateway runs in it: it waits for processes that it has started")]

mod abuse;
mod calibrate;
mod ceiling;
mod certificate;
mod client;
mod cluster;
mod compression;
mod control;
mod example;
mod forward;
mod growth;
mod http1;
mod http2;
mod load;
mod measure;
mod micro;
mod pages;
mod picture;
mod plan;
mod process;
mod producer;
mod report;
mod scan;
mod server;
mod settings;
mod side_load;
mod sizes;
mod storm;
mod table;
mod turns;
mod workload;

use std::path::Path;

/// Whatever goes wrong ends the run.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("ceiling") => {
            let folder = arguments.next();
            ceiling::serve(folder.as_deref().map(Path::new))
        }
        Some("application") => forward::serve(),
        Some("attacker") => abuse::attacker(&arguments.collect::<Vec<_>>()),
        Some("honest") => abuse::produce(Path::new(&arguments.next().ok_or("honest FOLDER")?)),
        Some("storming") => storm::come(arguments.collect()),
        Some("producer") => producer::serve(arguments.next().as_deref()),
        first => plan::run(first.map(str::to_owned).into_iter().chain(arguments).collect()),
    }
}
