//! The response: its body, its header fields, and refusals.

pub(super) mod body;
pub(super) mod headers;
pub(super) mod rejection;
