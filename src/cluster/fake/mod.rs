//! A fake engine, and the protocol under many schedules.

mod auth;
mod auth_content;
mod engine;
mod faults;
mod links;
mod node;
mod random;

pub(super) use auth_content::Fate;
pub(super) use engine::FakeCluster;
pub(super) use faults::Faults;
pub(super) use links::Cut;
pub(super) use node::FakeEngine;
pub(super) use random::SeededRandom;

/// A place where the protocol is broken on purpose, to show that the tests notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mutant {
    /// The protocol as it is.
    #[default]
    None,
    /// The engine stores whatever comes.
    NoFence,
    /// Readers are told before the engine has stored it.
    ToldBeforeStored,
    /// Records need not continue the last one by its mark.
    NoMarks,
    /// A claim follows whatever is the newest, without reading it.
    ClaimWithoutLooking,
}

mod tests;
