//! The tools of the gateway's tests.
//!
//! Always true: the system chooses ports, certificates are made at run time, every wait has a deadline, and a dropped
//! tool ends everything that it started.

#![allow(dead_code, reason = "several test binaries share the tools, and none uses all of them")]

pub mod adapter;
pub mod ambiguous;
pub mod attack_fixture;
pub mod certificates;
pub mod client;
pub mod config;
pub mod content_decoder;
pub mod event_source;
pub mod express;
pub mod figures;
pub mod flood;
pub mod frames;
pub mod hostile;
pub mod load;
pub mod locked;
pub mod nats;
pub mod network;
pub mod origin;
pub mod process;
pub mod process_clock;
pub mod producer;
pub mod prometheus;
pub mod raw;
pub mod reserved_addr;
pub mod script;
pub mod server;
pub mod setup;
pub mod small_disk;
pub mod subscription;
pub mod transport;
pub mod wait;
