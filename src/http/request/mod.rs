//! The request: its target, its client, its credentials, and the parameters of its subscription.

pub(super) mod accept_encoding;
pub(super) mod auth;
pub(super) mod client_info;
pub(super) mod cors;
pub(super) mod forwarded;
pub(super) mod forwarded_fields;
pub(super) mod head;
pub(super) mod last_event_id;
pub(super) mod params;
pub(super) mod query;
pub(super) mod redact;
pub(super) mod shared_values;
pub(super) mod target;
pub(super) mod trace;
