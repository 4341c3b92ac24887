//! The parts of `rillgate demo` that are not the gateway: a producer as its upstream, a page as its client, and a
//! certificate for `localhost`.
//!
//! The producer is an ordinary HTTP server that knows nothing of the gateway, and the page is an ordinary client. The
//! demo therefore shows the behaviour that any application would get. Does not start a gateway, mint tokens or parse
//! arguments: the command uses these parts for that.

mod certificate;
mod cluster;
mod feed;
mod page;
mod producer;
mod prompts;
mod random;
mod topic;

pub use certificate::{Certificate, GenerateError};
pub use cluster::{ControlPage, DemoBalancer, DemoEngine, DemoGateways, EngineStartError, GatewayLine};
pub use page::{COOKIE, DemoPage, pages};
pub use producer::{Producer, Spawn, Status};
