//! The decision whether a request may read a stream.
//!
//! [`rules`] of a route, the [`authorizer`] that applies them, and the [`trust_store`] with everything that can end a
//! permission later.

pub(super) mod authorizer;
pub(super) mod rules;
pub(super) mod trust_store;
