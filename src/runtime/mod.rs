//! The foundation of all other parts: tasks and threads, timers, file polling, memory, arithmetic.
//!
//! Knows nothing of streams, requests or tokens.

pub mod arithmetic;
pub mod backoff;
pub mod clock_step;
pub mod connect_budget;
pub mod excerpt;
pub mod fair_semaphore;
pub mod feed_turns;
pub mod field_encoder;
pub mod file_budget;
pub mod file_limit;
pub mod file_watch;
pub mod human_duration;
pub mod jitter;
pub mod memory;
pub mod moment;
pub mod panics;
pub mod resolver;
pub mod rotation;
pub mod shares;
pub mod side_waker;
pub mod tasks;
pub mod token_bucket;
pub mod token_buckets;
pub mod turn;
pub mod turn_owner;
pub mod turn_queue;
pub mod wake_queue;
mod worker_delay;
pub mod workers;
