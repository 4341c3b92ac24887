//! The failures of taking a revocation back.

/// The reason why a revoked token is not admitted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// No revocation in force has this id.
    #[error("no revocation in force has this id")]
    Unknown,
    /// Only the file has the revocation.
    #[error("this revocation comes from the revocation file; remove it there")]
    Filed,
    /// The posted revocation was removed, but the file has it too.
    #[error("the posted revocation was removed, but the revocation file has it too; remove it there")]
    StillFiled,
    /// Too many removals wait until they can be stored for all gateways.
    #[error("too many removals wait for the cluster's engine; the revocation stays in force")]
    Waiting,
}
