//! How long a response may live: until its token expires or is revoked, its largest age, or the gateway's leaving.
//!
//! One future that completes with the reason. It is polled by the delivery and, for responses that hyper carries, by a
//! guard outside the body as well, so that a client that does not read cannot stop it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::auth::{Authority, Grant, Standing};
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
    grant: Option<Granted>,
}

#[derive(Clone)]
struct Granted {
    grant: Grant,
    authority: Arc<Authority>,
    changes: watch::Receiver<u64>,
}

impl Life {
    /// A life without bounds but the gateway's. `spread` is over how long a drain spreads departures, `share` where in
    /// it this response leaves, uniform in `0.0..1.0`.
    pub fn new(draining: Draining, spread: Duration, share: f64) -> Self {
        Self { deadline: None, draining, departure: spread.mul_f64(share), grant: None }
    }

    /// Ends at `most` from now at the latest, a tenth of it earlier at random so that clients do not leave together.
    pub fn at_most(&mut self, most: Duration, share: f64) {
        self.bound(Instant::now() + most.mul_f64(1.0 - 0.1 * share), End::MaxAge);
    }

    /// Ends when the grant does.
    pub fn while_granted(&mut self, grant: Grant, authority: &Arc<Authority>) {
        let left = grant.expires_at().duration_since(SystemTime::now()).unwrap_or_default();
        self.bound(Instant::now() + left, End::Expired);
        self.grant = Some(Granted { grant, authority: authority.clone(), changes: authority.watch() });
    }

    fn bound(&mut self, at: Instant, end: End) {
        if self.deadline.is_none_or(|(earliest, _)| at < earliest) {
            self.deadline = Some((at, end));
        }
    }

    /// Completes when it is over.
    pub async fn over(mut self) -> End {
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
                end = taken_back(&mut self.grant) => return end,
            }
        }
    }
}

/// Completes when the grant no longer stands.
async fn taken_back(granted: &mut Option<Granted>) -> End {
    let Some(Granted { grant, authority, changes }) = granted else { return std::future::pending().await };
    loop {
        // Marked as seen before it is looked at: a change in between is seen in the next round.
        changes.borrow_and_update();
        match grant.standing(authority, SystemTime::now()) {
            Standing::Valid => {}
            Standing::Expired => return End::Expired,
            Standing::Revoked | Standing::KeyRemoved => return End::Revoked,
        }
        if changes.changed().await.is_err() {
            return End::Revoked;
        }
    }
}
