//! Catching up clients whose id is older than the log, from the upstream's own history.
//!
//! Built on the log, the source and the readers. Nothing else in `stream` uses it.

mod catch_up;
mod memory;
mod read_through;

pub use catch_up::{CatchUp, CatchUpError, CatchUpLimit};
pub use read_through::ReadThrough;
