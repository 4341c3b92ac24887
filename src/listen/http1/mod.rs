//! HTTP/1 with hyper, and the handoff of a streaming response to a task of its own.
//!
//! | file | contents |
//! |---|---|
//! | [`serve`] | one connection while hyper serves it |
//! | [`handoff`] | taking a connection from hyper after the first chunk of a response |
//! | [`abort`] | ending a response that its client does not read |
//! | [`tracked_body`] | a response body that keeps its request open |

mod abort;
mod handoff;
mod serve;
mod tracked_body;

pub use abort::abort_when;
pub use handoff::{Handoff, HandoffFn};
pub(super) use serve::serve;
