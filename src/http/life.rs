//! How long a response may live: until its token expires or is revoked, its largest age, or the gateway's leaving.
//!
//! One future that completes with the reason. It is polled by the delivery and, for responses that hyper carries, by a
//! guard outside the body as well, so that a client that does not read cannot stop it.

use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use tokio::time::{Instant, sleep_until};

use super::permission::Permission;
use crate::arithmetic;
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
        Self { deadline: None, draining, departure: arithmetic::scale(spread, share), permission: None }
    }

    /// Ends at `most` from now at the latest, a tenth of it earlier at random so that clients do not leave together.
    pub fn at_most(&mut self, most: Duration, share: f64) {
        bound(&mut self.deadline, Instant::now() + arithmetic::scale(most, 1.0 - 0.1 * share), End::MaxAge);
    }

    /// Ends when the permission does.
    pub fn while_permitted(&mut self, permission: Permission) {
        if let Some(expires_at) = permission.expires_at() {
            let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
            bound(&mut self.deadline, Instant::now() + left, End::Expired);
        }
        self.permission = Some(permission);
    }

    /// Completes when it is over. Cancel-safe.
    ///
    /// One timer, whatever bounds the life: every client has such a future for as long as it reads.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` would keep itself twice in the memory of every client")]
    pub fn over(mut self) -> impl Future<Output = End> + Send {
        async move {
            let mut is_draining = false;
            loop {
                let taken_back = match self.permission.as_mut().map(Permission::taken_back) {
                    None => None,
                    Some(Ok(taken_back)) => taken_back,
                    Some(Err(end)) => return end,
                };
                let first = self.deadline.into_iter().chain(taken_back).min_by_key(|(at, _)| *at);
                let first = OptionFuture::from(first.map(|(at, end)| sleep_until(at).map(move |()| end)));
                let changed = OptionFuture::from(self.permission.as_mut().map(Permission::changed));
                tokio::select! {
                    Some(end) = first => return end,
                    since = self.draining.since(), if !is_draining => {
                        is_draining = true;
                        bound(&mut self.deadline, since + self.departure, End::Drain);
                    }
                    Some(changed) = changed => if let Err(end) = changed {
                        return end;
                    },
                }
            }
        }
    }
}

fn bound(deadline: &mut Option<(Instant, End)>, at: Instant, end: End) {
    if deadline.is_none_or(|(earliest, _)| at < earliest) {
        *deadline = Some((at, end));
    }
}
