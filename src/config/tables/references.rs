//! The tables of the file that a route refers to.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth::IssuerSettings;
use crate::upstream::UpstreamSettings;

/// What routes refer to.
#[derive(Clone, Copy)]
pub(super) struct References<'a> {
    pub(super) issuers: &'a BTreeMap<String, Arc<IssuerSettings>>,
    pub(super) upstreams: &'a BTreeMap<String, Arc<UpstreamSettings>>,
    /// Whether there is a `[store]`.
    pub(super) has_store: bool,
    /// Longest token.
    pub(super) token_bytes: usize,
}
