//! The parts of `rillgate demo --cluster`: an engine, gateways as processes of their own, a balancer in front of them,
//! and a page that shows which gateway owns which stream and kills the owner.
//!
//! The gateways are ordinary ones. The balancer passes TCP connections on and knows nothing of TLS or HTTP. Does not
//! write configurations: the command does.

mod admin_client;
mod balancer;
mod control;
mod engine;
mod gateways;

pub use balancer::DemoBalancer;
pub use control::ControlPage;
pub use engine::{DemoEngine, EngineStartError};
pub use gateways::{DemoGateways, GatewayLine};
