//! The other tables that a route refers to.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth::IssuerSettings;
use crate::upstream::UpstreamSettings;

/// The settings of other tables that routes are checked against.
#[derive(Clone, Copy)]
pub(super) struct References<'a> {
    pub(super) issuers: &'a BTreeMap<String, Arc<IssuerSettings>>,
    pub(super) upstreams: &'a BTreeMap<String, Arc<UpstreamSettings>>,
    /// Whether the file has a `[store]` table.
    pub(super) has_store: bool,
    /// Whether the file has a `[cluster]` table.
    pub(super) has_cluster: bool,
    /// `limits.token_bytes`, the maximum length of a token.
    pub(super) token_bytes: usize,
}
