//! What the demo's streams say: invented prices, trades, deployments and answers.
//!
//! A feed is pure: it gets randomness and returns the next messages and how long to wait before them. It never ends.
//!
//! Does not know ids, time of day or sockets: a topic numbers and keeps the messages, the producer waits and serves.

mod answers;
mod deploys;
mod prices;
mod trades;

use std::time::Duration;

use serde_json::Value;

pub(super) use answers::Answers;
pub(super) use deploys::Deploys;
pub(super) use prices::Prices;
pub(super) use trades::Trades;

use super::random::Random;

/// A source of messages without end.
pub(super) trait Feed: Send {
    /// What comes next.
    fn next(&mut self, random: &mut Random) -> FeedBatch;
}

/// Messages that come together, after a pause.
pub(super) struct FeedBatch {
    /// How long after the previous batch.
    pub(super) wait: Duration,
    /// In order; at least one.
    pub(super) messages: Vec<Message>,
}

/// One message, before it is numbered.
pub(super) struct Message {
    /// The event type; empty for an untyped event.
    pub(super) kind: &'static str,
    /// A JSON object.
    pub(super) data: Value,
}
