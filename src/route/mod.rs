//! What for.

pub mod pattern;
mod settings;

pub use settings::*;
