//! Issuers and their keys: loading, refreshing, and verifying signatures.
//!
//! An [`issuer`] has one or more [`source`]s of keys: a secret, a [`file`](mod@file), or a URL that is [`fetch`]ed on a
//! [`refresh_schedule`]. Together they make up its [`key_set`], which remembers [`failed_signatures`]. [`jwks`] parses the published document.

mod failed_signatures;
pub mod fetch;
mod file;
pub(super) mod issuer;
pub(super) mod jwks;
pub(super) mod key_set;
mod refresh_schedule;
mod source;
pub(super) mod source_error;
