//! The delivery of a stream to one client: from a position in the log to the end of the response.
//!
//! ```text
//!  PendingResume ─▶ Delivery ─┬─▶ Http1Writer   HTTP/1.1, on the connection itself
//!       Lifetime ────▲        └─▶ EventBody     HTTP/2; also HTTP/1.0 and finite reads, through hyper
//! ```

pub(super) mod before_events;
pub(super) mod content_encoder;
#[expect(clippy::module_inception, reason = "the file carries the name of its type")]
pub(super) mod delivery;
pub(super) mod delivery_options;
pub(super) mod event_body;
#[cfg(test)]
mod fixture;
mod heartbeat;
pub(super) mod http1_writer;
mod lag_check;
pub(super) mod lifetime;
pub(super) mod notice;
pub(super) mod pending_resume;
pub(super) mod permission;
pub(super) mod record;
