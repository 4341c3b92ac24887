//! The delivery of a stream to one client, from its place in the log to the end of its response.

#[expect(clippy::module_inception, reason = "the file is named after the type that it holds")]
pub mod delivery;
pub mod event_body;
pub mod http1_writer;
pub mod lifetime;
pub mod notice;
pub mod pending_resume;
pub mod permission;
pub mod record;
