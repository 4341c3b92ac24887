//! How long a response may live: until its token expires or is revoked, its largest age, or the gateway's leaving.
//!
//! One future that completes with the reason. It is polled by the delivery and, for responses that hyper carries, by a
//! guard outside the body as well, so that a client that does not read cannot stop it.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::permission::Permission;
use crate::tasks::Draining;
use crate::telemetry::End;

/// What bounds one response's life.
#[derive(Clone)]
pub struct Life {
    /// The earliest moment that is known in advance.
    deadline: Option<(Instant, End)>,
    draining: Draining,
    /// How long after the drain began this response leaves.
    departure: Duration,
    permission: Option<Permission>,
}

impl Life {
    /// A life without bounds but the gateway's. `spread` is over how long a drain spreads departures, `share` where in
    /// it this response leaves, uniform in `0.0..1.0`.
    pub fn new(draining: Draining, spread: Duration, share: f64) -> Self {
        Self { deadline: None, draining, departure: spread.mul_f64(share), permission: None }
    }

    /// Ends at `most` from now at the latest, a tenth of it earlier at random so that clients do not leave together.
    pub fn at_most(&mut self, most: Duration, share: f64) {
        self.bound(Instant::now() + most.mul_f64(1.0 - 0.1 * share), End::MaxAge);
    }

    /// Ends when the permission does.
    pub fn while_permitted(&mut self, permission: Permission) {
        if let Some(expires_at) = permission.expires_at() {
            let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
            self.bound(Instant::now() + left, End::Expired);
        }
        self.permission = Some(permission);
    }

    fn bound(&mut self, at: Instant, end: End) {
        if self.deadline.is_none_or(|(earliest, _)| at < earliest) {
            self.deadline = Some((at, end));
        }
    }

    /// Completes when it is over.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` would keep itself twice in the memory of every client")]
    pub fn over(mut self) -> impl Future<Output = End> + Send {
        async move { self.end().await }
    }

    async fn end(&mut self) -> End {
        let mut draining = self.draining.clone();
        let mut is_draining = false;
        loop {
            let deadline = self.deadline;
            let passed = async move {
                match deadline {
                    Some((at, end)) => {
                        sleep_until(at).await;
                        end
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                end = passed => return end,
                since = draining.since(), if !is_draining => {
                    is_draining = true;
                    self.bound(since + self.departure, End::Drain);
                }
                end = taken_back(&mut self.permission) => return end,
            }
        }
    }
}

/// Completes when the permission has been taken back.
async fn taken_back(permission: &mut Option<Permission>) -> End {
    match permission {
        Some(permission) => permission.taken_back().await,
        None => std::future::pending().await,
    }
}
