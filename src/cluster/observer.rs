//! The facts of the cluster that an operator counts.
//!
//! The protocol tells them here, once each, and does not know what becomes of them. Calls do not block.

use std::time::Duration;

use super::engine::EngineErrorKind;

/// Is told what happens in the cluster.
pub trait ClusterObserver: Send + Sync + 'static {
    /// A claim of a stream of this route has ended.
    fn claimed(&self, route: &str, result: ClaimResult);

    /// An owner of a stream of this route saw that another gateway had taken it over, or gave it up because its lease was
    /// over.
    fn fenced(&self, route: &str);

    /// A record was acknowledged, this long after its first entry was ready.
    fn committed(&self, route: &str, took: Duration);

    /// A follower applied a record, this long after its owner had dated its newest entry. Clocks differ: at least zero.
    fn followed(&self, route: &str, delay: Duration);

    /// A stream had to be read from the engine, because what came live did not suffice.
    fn resynced(&self, cause: ResyncCause);

    /// A stream began anew, since what the engine has does not continue what this gateway has.
    fn reset(&self, cause: ResetCause);

    /// A call of the engine failed, or something in it was not what it must be.
    fn failed(&self, kind: ClusterErrorKind);
}

/// The end of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimResult {
    /// This gateway owns the stream.
    Won,
    /// Another gateway was first.
    Lost,
    /// The engine did not acknowledge it.
    Failed,
}

/// The reason why a stream was read from the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResyncCause {
    /// The stream was opened.
    Join,
    /// A live record does not follow the last one.
    Hole,
    /// A beat tells of a record that did not arrive.
    Beat,
    /// The connection to the engine was lost meanwhile.
    Reconnect,
    /// An append was not acknowledged.
    Append,
    /// A client named an id that is not in the log.
    Client,
}

/// The reason why a stream began anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetCause {
    /// The engine has another life of the stream.
    Life,
    /// The records of the engine do not continue ours.
    Chain,
    /// The engine has lost its records.
    Gone,
}

/// The kind of a failure, of the engine or of what is stored there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterErrorKind {
    /// A call of the engine failed.
    Engine(EngineErrorKind),
    /// Something was not signed with a key of this cluster.
    Signature,
    /// Something has a format that this version does not know.
    Format,
}

/// Counts nothing.
impl ClusterObserver for () {
    fn claimed(&self, _: &str, _: ClaimResult) {}

    fn fenced(&self, _: &str) {}

    fn committed(&self, _: &str, _: Duration) {}

    fn followed(&self, _: &str, _: Duration) {}

    fn resynced(&self, _: ResyncCause) {}

    fn reset(&self, _: ResetCause) {}

    fn failed(&self, _: ClusterErrorKind) {}
}

impl ClaimResult {
    /// Returns the value of the metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Failed => "failed",
        }
    }
}

impl ResyncCause {
    /// Returns the value of the metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Hole => "hole",
            Self::Beat => "beat",
            Self::Reconnect => "reconnect",
            Self::Append => "append",
            Self::Client => "client",
        }
    }
}

impl ResetCause {
    /// Returns the value of the metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Life => "life",
            Self::Chain => "chain",
            Self::Gone => "gone",
        }
    }
}

impl ClusterErrorKind {
    /// Returns the value of the metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Engine(kind) => kind.label(),
            Self::Signature => "signature",
            Self::Format => "format",
        }
    }
}
