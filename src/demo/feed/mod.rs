//! The content of the demo's streams: invented prices, trades, deployments and answers.
//!
//! A feed is pure: it takes randomness and returns the next messages and the delay before them. It never ends. Does not
//! know ids, time of day or sockets: a topic numbers and stores the messages, the producer waits and serves.

mod answers;
mod deploys;
mod prices;
mod trades;

use std::time::Duration;

use serde_json::Value;

pub(super) use answers::{Answers, token_length};
pub(super) use deploys::Deploys;
pub(super) use prices::Prices;
pub(super) use trades::Trades;

use super::random::Random;

/// An endless source of messages.
pub(super) trait Feed: Send {
    /// Returns the next batch.
    fn next(&mut self, random: &mut Random) -> FeedBatch;
}

/// Messages that are sent together, after a delay.
pub(super) struct FeedBatch {
    /// The time since the previous batch.
    pub(super) wait: Duration,
    /// The messages in order; at least one.
    pub(super) messages: Vec<Message>,
}

/// A message without a number.
pub(super) struct Message {
    /// The event type; empty for an untyped event.
    pub(super) kind: &'static str,
    /// A JSON object.
    pub(super) data: Value,
}
