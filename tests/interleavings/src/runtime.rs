//! The parts of the gateway's runtime that streams depend on.

#[path = "../../../src/runtime/arithmetic.rs"]
pub mod arithmetic;
#[path = "../../../src/runtime/backoff.rs"]
pub mod backoff;
#[path = "../../../src/runtime/connect_budget.rs"]
pub mod connect_budget;
#[path = "../../../src/runtime/excerpt.rs"]
pub mod excerpt;
#[path = "../../../src/runtime/fair_semaphore.rs"]
pub mod fair_semaphore;
#[path = "../../../src/runtime/feed_turns.rs"]
pub mod feed_turns;
#[path = "../../../src/runtime/file_budget.rs"]
pub mod file_budget;
#[path = "../../../src/runtime/human_duration.rs"]
pub mod human_duration;
#[path = "../../../src/runtime/jitter.rs"]
pub mod jitter;
#[path = "../../../src/runtime/memory/mod.rs"]
pub mod memory;
#[path = "../../../src/runtime/moment.rs"]
pub mod moment;
#[path = "../../../src/runtime/panics.rs"]
pub mod panics;
#[path = "../../../src/runtime/resolver.rs"]
pub mod resolver;
#[path = "../../../src/runtime/rotation.rs"]
pub mod rotation;
#[path = "../../../src/runtime/shares.rs"]
pub mod shares;
#[path = "../../../src/runtime/side_waker.rs"]
pub mod side_waker;
#[path = "../../../src/runtime/tasks.rs"]
pub mod tasks;
#[path = "../../../src/runtime/turn.rs"]
pub mod turn;
#[path = "../../../src/runtime/turn_owner.rs"]
pub mod turn_owner;
#[path = "../../../src/runtime/turn_queue.rs"]
pub mod turn_queue;
#[path = "../../../src/runtime/wake_queue.rs"]
pub mod wake_queue;

/// The part of the gateway's `workers` that name lookups use.
pub mod workers {
    use std::io;
    use std::thread::{Builder, JoinHandle};

    /// Starts a named thread. The system cannot create a thread: an error.
    pub fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        Builder::new().name(name.to_owned()).spawn(run)
    }
}
