//! The request: its target, its client, its credentials, and the parameters of its subscription.

pub mod auth;
pub mod client_info;
pub mod cors;
mod forwarded;
pub mod head;
pub mod last_event_id;
pub mod params;
pub mod query;
pub mod redact;
pub mod shared_values;
pub mod target;
pub mod trace;
