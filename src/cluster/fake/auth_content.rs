//! The tickets and revocations that a fake engine has.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::engine::{AuthKey, Stored};

/// The fate of one write of a ticket or a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Fate {
    /// It is stored, and its answer and its message are lost.
    LostAnswer,
    /// It is stored, and the engine goes away before it answers.
    LostAnswerAndAway,
    /// It is lost.
    LostRequest,
    /// It is refused though it is correct.
    FalseRefusal,
}

/// The tickets and revocations of a fake engine.
#[derive(Default)]
pub(super) struct AuthContent {
    pub(super) records: Vec<KeptRecord>,
    /// The fates of the next writes. Those after them are as other requests.
    pub(super) fates: VecDeque<Option<Fate>>,
}

/// A ticket or a revocation.
pub(super) struct KeptRecord {
    pub(super) key: AuthKey,
    pub(super) stored: Stored,
    /// The time for which it was stored.
    pub(super) keep: Duration,
    pub(super) until: Instant,
}

impl AuthContent {
    /// Returns the fate of the next write, if it has one of its own.
    pub(super) fn next_fate(&mut self) -> Option<Fate> {
        self.fates.pop_front().flatten()
    }

    /// Returns the records whose time is not over.
    pub(super) fn kept(&self) -> impl Iterator<Item = &KeptRecord> {
        let now = Instant::now();
        self.records.iter().filter(move |record| now < record.until)
    }
}
