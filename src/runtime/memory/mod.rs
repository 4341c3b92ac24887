//! The memory that clients and upstreams make the gateway hold, by weight, and its bound.
//!
//! The ledger counts what is held, exactly and at once. The watermark samples the resident memory of the process. It is
//! the second line of defence, for what the ledger does not know.

mod allocation;
mod charge;
mod kind;
mod ledger;
mod system;
mod watermark;

pub use allocation::allocated;
pub use charge::MemoryCharge;
pub use kind::MemoryKind;
pub use ledger::{MemoryLedger, MemoryLevel};
pub use system::available;
pub use watermark::Watermark;
