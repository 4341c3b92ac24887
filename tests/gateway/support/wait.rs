//! Waits for facts.
//!
//! Always true: a wait that times out says what it waited for and where. There is no plain sleep: a test that needs one
//! does not know what it is waiting for.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// The deadline of all waits: long enough for a busy machine of two cores.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `fact` holds, checking every few milliseconds.
///
/// # Panics
/// Panics at the caller's line if it does not hold after `deadline`.
#[track_caller]
pub fn eventually<F, Fut>(deadline: Duration, mut fact: F) -> impl Future<Output = ()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let asked_at = Location::caller();
    async move {
        let end = Instant::now() + deadline;
        while !timeout(deadline, fact()).await.unwrap_or(false) {
            assert!(Instant::now() < end, "{asked_at}: still not true after {deadline:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Awaits `work` for at most `deadline`.
///
/// # Panics
/// Panics at the caller's line, naming `what`, if the work is not done by then.
#[track_caller]
pub fn within<T>(deadline: Duration, what: &str, work: impl Future<Output = T>) -> impl Future<Output = T> {
    let asked_at = Location::caller();
    async move {
        match timeout(deadline, work).await {
            Ok(done) => done,
            Err(_) => panic!("{asked_at}: no {what} within {deadline:?}"),
        }
    }
}
