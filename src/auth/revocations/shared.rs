//! Revocations that several gateways share: what a gateway asks of whoever carries them to the others.

use std::fmt;

use futures_util::future::BoxFuture;

use super::id::RevocationId;
use super::restore_error::RestoreError;

/// Carries posted revocations, and their removal, to all gateways of a cluster.
pub trait SharedRevocations: fmt::Debug + Send + Sync + 'static {
    /// Carries a revocation that has just been posted here, and applies here. Waits a few seconds at most.
    fn revoked(&self, id: RevocationId) -> BoxFuture<'_, Reach>;

    /// Removes a posted revocation here and for all gateways. Waits a few seconds at most.
    ///
    /// # Errors
    /// See [`RestoreError`].
    fn restore(&self, id: RevocationId) -> BoxFuture<'_, Result<Reach, RestoreError>>;
}

/// The gateways that a change of the revocations has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All that there are: it is stored for the others, or there are no others.
    All,
    /// Only this one so far. The others follow.
    Here,
}
