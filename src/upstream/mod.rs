//! The origin side.

mod target;

pub use target::{Origin, Target};
