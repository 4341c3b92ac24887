//! The tools of the gateway's tests, with gateways of a cluster in place of a gateway.
//!
//! [`server`] and [`figures`] are this suite's own; all others are those of `tests/gateway/support`.

#![allow(dead_code, reason = "the tools have more than these tests use")]

#[path = "../../gateway/support/certificates.rs"]
pub mod certificates;
#[path = "../../gateway/support/client.rs"]
pub mod client;
#[path = "../../gateway/support/config.rs"]
pub mod config;
#[path = "../../gateway/support/content_decoder.rs"]
pub mod content_decoder;
#[path = "../../gateway/support/event_source.rs"]
pub mod event_source;
#[path = "../../gateway/support/express.rs"]
pub mod express;
pub mod figures;
#[path = "../../gateway/support/flood.rs"]
pub mod flood;
#[path = "../../gateway/support/frames.rs"]
pub mod frames;
pub mod haproxy;
#[path = "../../gateway/support/hostile.rs"]
pub mod hostile;
#[path = "../../gateway/support/load.rs"]
pub mod load;
#[path = "../../gateway/support/nats.rs"]
pub mod nats;
#[path = "../../gateway/support/origin.rs"]
pub mod origin;
#[path = "../../gateway/support/process.rs"]
pub mod process;
#[path = "../../gateway/support/producer.rs"]
pub mod producer;
#[path = "../../gateway/support/raw.rs"]
pub mod raw;
#[path = "../../gateway/support/reserved_addr.rs"]
pub mod reserved_addr;
#[path = "../../gateway/support/script.rs"]
pub mod script;
pub mod server;
#[path = "../../gateway/support/setup.rs"]
pub mod setup;
pub mod shared_config;
#[path = "../../gateway/support/server.rs"]
pub mod single;
#[path = "../../gateway/support/small_disk.rs"]
pub mod small_disk;
#[path = "../../gateway/support/subscription.rs"]
pub mod subscription;
#[path = "../../gateway/support/transport.rs"]
pub mod transport;
#[path = "../../gateway/support/wait.rs"]
pub mod wait;
