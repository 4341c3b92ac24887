//! Three gateways, three servers of the engine, and clients that come back to any gateway, while all of them fail.
//!
//!     cargo test --test cluster system -- --nocapture                       20 failures
//!     RILLGATE_SECONDS=3600 cargo test --test cluster system                for an hour
//!     RILLGATE_SEED=7 cargo test --test cluster system                      with the random choices of seed 7

mod checker;
mod faults;
#[path = "../../endurance/history.rs"]
mod history;
mod overlap;
#[path = "../../endurance/reader.rs"]
mod reader;
#[allow(dead_code, reason = "the endurance tests use the rest")]
#[path = "../../endurance/recorded_producer.rs"]
mod recorded_producer;
mod site;
