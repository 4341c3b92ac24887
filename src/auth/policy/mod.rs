//! The decision: [`rules`] of a route, the [`authorizer`] that applies them, and the [`trust_store`] of everything that
//! can take a permission back later.

pub(super) mod authorizer;
pub(super) mod rules;
pub(super) mod trust_store;
