//! The token: extraction from a request, parsing, and the checks of its claims.
//!
//! [`extract`] finds it, [`jws`] parses it with the strict parser of [`json`], [`verify`] checks the registered claims,
//! and [`claims`] has the paths to all others. Does not know keys, issuers or routes.

pub(super) mod claims;
pub(super) mod extract;
pub(super) mod json;
pub(super) mod jws;
pub(super) mod verify;
