//! The names in the engine: of its streams and of the subjects of messages.

use crate::cluster::engine::{AuthKey, AuthKind, LogId};
use crate::cluster::settings::ClusterName;

/// The names of one cluster. All subjects begin with the cluster's name, so one permission covers them.
#[derive(Clone, Debug)]
pub(super) struct Subjects(String);

impl Subjects {
    pub(super) fn new(name: &ClusterName) -> Self {
        Self(name.to_string())
    }

    /// The name of the stream of one kind: `log`, `nodes` or `auth`.
    pub(super) fn stream(&self, kind: &str) -> String {
        format!("{}-{kind}", self.0)
    }

    /// Any subject of the cluster, from its further parts.
    pub(super) fn of(&self, rest: &str) -> String {
        format!("{}.{rest}", self.0)
    }

    pub(super) fn log(&self, log: &LogId) -> String {
        format!("{}.log.{log}", self.0)
    }

    pub(super) fn live(&self, log: &LogId) -> String {
        format!("{}.live.{log}", self.0)
    }

    pub(super) fn node(&self, node: &str) -> String {
        format!("{}.node.{node}", self.0)
    }

    pub(super) fn ask(&self, log: &LogId) -> String {
        format!("{}.ask.{log}", self.0)
    }

    pub(super) fn phase(&self, log: &LogId) -> String {
        format!("{}.phase.{log}", self.0)
    }

    pub(super) fn auth(&self, key: &AuthKey) -> String {
        format!("{}.{}.{key}", self.0, key.kind.label())
    }

    pub(super) fn heard(&self, kind: AuthKind) -> String {
        format!("{}.heard.{}.*", self.0, kind.label())
    }
}

/// Returns the last part of a subject.
pub(super) fn last_part(subject: &str) -> &str {
    subject.rsplit('.').next().unwrap_or_default()
}
