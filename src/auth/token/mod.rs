//! The token: found in a request, taken apart, its claims read and checked.
//!
//! [`extract`] finds it, [`jws`] takes it apart, [`json`] reads its parts strictly, [`verify`] checks the registered
//! claims and [`claims`] is the way to any other. Nothing here knows keys, issuers or routes.

pub(super) mod claims;
pub(super) mod extract;
pub(super) mod json;
pub(super) mod jws;
pub(super) mod verify;
