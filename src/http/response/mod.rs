//! The response: its body, its header fields, and refusals.

pub mod body;
pub mod headers;
pub mod rejection;
