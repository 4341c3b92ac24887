//! Fan-out and replay.

mod policy;

pub use policy::{Ids, OnEnd, Policy, Retention};
