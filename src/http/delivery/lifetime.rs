//! The lifetime of a response: until its token expires or is revoked, its maximum age, or the gateway's drain.
//!
//! [`Lifetime::ended`] is one future that completes with the reason. The delivery polls it. For responses that hyper
//! carries, [`enforce_deadlines`](super::event_body::enforce_deadlines) polls a second copy outside the body, so that a
//! client that does not read cannot delay the end.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::permission::Permission;
use crate::runtime::arithmetic;
use crate::telemetry::{EndReason, RouteMetrics};

/// The time that a client whose response ends may take to receive the rest, so that the end is a clean one.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

/// The bounds of one response's life.
#[derive(Clone)]
pub(crate) struct Lifetime {
    /// The end at the response's maximum age.
    ends_at: Option<Instant>,
    /// The moment of this response within everything that is spread over time. Uniform in `0.0..1.0`.
    jitter: f64,
    permission: Permission,
    /// The time by which the response ends before its token expires.
    expiry_lead: Duration,
    replaced: Option<CancellationToken>,
    /// Everything else that can end a response: changes of permissions, and the start of the drain.
    changes: watch::Receiver<u64>,
}

impl Lifetime {
    /// Creates a lifetime that ends with the drain or with the permission. The permission ends at its expiry, earlier by
    /// [`expiry_lead`], or when it is withdrawn. `jitter` is uniform in `0.0..1.0`.
    pub(crate) fn new(permission: Permission, expiry_spread: Duration, jitter: f64) -> Self {
        let left = permission.expires_at().map(time_until);
        let expiry_lead = left.map_or(Duration::ZERO, |left| expiry_lead(left, expiry_spread, jitter));
        let changes = permission.app().trust.subscribe();
        Self { ends_at: None, jitter, permission, expiry_lead, replaced: None, changes }
    }

    /// Ends the response after `max_age`, or up to a tenth of it earlier: clients that came together must not leave
    /// together.
    pub(crate) fn set_max_age(&mut self, max_age: Duration) {
        self.ends_at = Some(Instant::now() + arithmetic::scale(max_age, 1.0 - 0.1 * self.jitter));
    }

    /// Ends the response when another subscription of its subject takes its permit.
    pub(crate) fn end_when_replaced(&mut self, replaced: CancellationToken) {
        self.replaced = Some(replaced);
    }

    /// Completes when the response must end. Cancel-safe.
    ///
    /// Every client has such a future for as long as it reads, so there is one timer for all bounds, and parts that few
    /// need are boxed.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` would keep itself twice in the memory of every client")]
    pub(crate) fn ended(mut self) -> impl Future<Output = EndReason> + Send {
        async move {
            loop {
                // Mark changes as seen before looking at them: a change in between is then seen in the next round.
                self.changes.borrow_and_update();
                let first = match self.first_end() {
                    Ok(first) => first,
                    Err(end) => return end,
                };
                let (timer, end) = first.map(|(at, end)| (Box::pin(sleep_until(at)), end)).unzip();
                let replaced = self.replaced.clone().map(|replaced| Box::pin(replaced.cancelled_owned()));
                tokio::select! {
                    Some(()) = OptionFuture::from(replaced) => return EndReason::Replaced,
                    Some(Some(end)) = OptionFuture::from(timer.map(|timer| timer.map(|()| end))) => return end,
                    // Without the trust store nothing can be checked any longer.
                    changed = self.changes.changed() => if changed.is_err() {
                        return EndReason::Revoked;
                    },
                }
            }
        }
    }

    /// Returns the first of the ends that are known now. Computed again after each change, also since the wall clock may
    /// have been set.
    ///
    /// # Errors
    /// The response has to end at once, for this reason.
    fn first_end(&mut self) -> Result<Option<(Instant, EndReason)>, EndReason> {
        let app = self.permission.app();
        let delay = arithmetic::scale(app.spread, self.jitter);
        let drain = app.tasks.draining_since().map(|since| (since + delay, EndReason::Drain));
        let withdrawal = self.permission.check(delay)?;
        let expiry = self.permission.expires_at().map(|expires_at| {
            (Instant::now() + time_until(expires_at).saturating_sub(self.expiry_lead), EndReason::Expired)
        });
        let max_age = self.ends_at.map(|at| (at, EndReason::MaxAge));
        Ok([max_age, drain, expiry, withdrawal].into_iter().flatten().min_by_key(|(at, _)| *at))
    }
}

/// Returns the time until `at` by the wall clock; zero if it has passed.
fn time_until(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::now()).unwrap_or_default()
}

/// Returns how long before its token a response ends, given the time that the token has left: a random part of
/// `spread`, at most a tenth of `left`. A login or a rotation can make thousands of tokens that expire in the same
/// second; their clients must not reconnect at once.
fn expiry_lead(left: Duration, spread: Duration, jitter: f64) -> Duration {
    match left >= MIN_LEFT_FOR_LEAD {
        true => arithmetic::scale(spread.min(left / 10), jitter),
        false => Duration::ZERO,
    }
}

/// The shortest time left for which [`expiry_lead`] applies: tokens of less are used to their end.
const MIN_LEFT_FOR_LEAD: Duration = Duration::from_secs(60);

/// Completes with `lifetime`. Logs and counts when `unenforced` ends earlier because of the token: `unenforced` is the
/// lifetime that the response would have if the route enforced its rules.
pub(crate) async fn log_unenforced_end(
    lifetime: Lifetime,
    unenforced: Lifetime,
    metrics: Arc<RouteMetrics>,
) -> EndReason {
    let mut ended = pin!(lifetime.ended());
    tokio::select! {
        end = &mut ended => return end,
        end = unenforced.ended() => if matches!(end, EndReason::Expired | EndReason::Revoked) {
            metrics.auth_failure(end.as_str());
            if metrics.acquire_refusal_line() {
                info!(route = metrics.name(), reason = end.as_str(), "would end (auth.enforce = false)");
            }
        },
    }
    ended.await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the size of what a function returns, in bytes.
    fn returned_bytes<A, R>(_: fn(A) -> R) -> usize {
        size_of::<R>()
    }

    #[test]
    fn the_future_of_a_lifetime_is_small() {
        assert!(returned_bytes(Lifetime::ended) <= 320);
    }

    #[test]
    fn a_response_ends_up_to_a_tenth_before_its_token_unless_less_than_a_minute_is_left() {
        let expiry_lead = |left, spread, jitter| {
            expiry_lead(Duration::from_secs(left), Duration::from_secs(spread), jitter).as_millis()
        };

        assert_eq!(expiry_lead(3600, 10, 0.5), 5_000);
        assert_eq!(expiry_lead(60, 10, 0.5), 3_000);
        assert_eq!(expiry_lead(59, 10, 0.5), 0);
        assert_eq!(expiry_lead(3600, 0, 0.5), 0);
        assert_eq!(expiry_lead(3600, 10, 0.0), 0);
    }
}
