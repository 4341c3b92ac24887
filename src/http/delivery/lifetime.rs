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
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::permission::Permission;
use crate::runtime::arithmetic;
use crate::runtime::tasks::Draining;
use crate::telemetry::{EndReason, RouteMetrics};

/// The time that a client whose response ends may take to receive the rest, so that the end is a clean one.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

/// The bounds of one response's life.
#[derive(Clone)]
pub(crate) struct Lifetime {
    /// The earliest end that is known in advance.
    deadline: Option<(Instant, EndReason)>,
    draining: Draining,
    /// The time from the start of a drain to the end of this response.
    drain_delay: Duration,
    permission: Option<Permission>,
    /// The time by which the response ends before its token expires.
    expiry_lead: Duration,
    replaced: Option<CancellationToken>,
}

impl Lifetime {
    /// Creates a lifetime that only a drain ends. `drain_spread` is the time over which a drain spreads the ends of all
    /// responses, and `jitter`, uniform in `0.0..1.0`, the moment of this one within it.
    pub(crate) fn new(draining: Draining, drain_spread: Duration, jitter: f64) -> Self {
        let drain_delay = arithmetic::scale(drain_spread, jitter);
        Self { deadline: None, draining, drain_delay, permission: None, expiry_lead: Duration::ZERO, replaced: None }
    }

    /// Ends the response after `max_age`, or up to a tenth of it earlier: clients that came together must not leave
    /// together.
    pub(crate) fn set_max_age(&mut self, max_age: Duration, jitter: f64) {
        let age = arithmetic::scale(max_age, 1.0 - 0.1 * jitter);
        set_earlier(&mut self.deadline, Instant::now() + age, EndReason::MaxAge);
    }

    /// Ends the response when another subscription of its subject takes its permit.
    pub(crate) fn end_when_replaced(&mut self, replaced: CancellationToken) {
        self.replaced = Some(replaced);
    }

    /// Ends the response with its permission: at its expiry, or earlier by [`expiry_lead`], or when it is withdrawn.
    pub(crate) fn end_with_permission(&mut self, permission: Permission, expiry_spread: Duration, jitter: f64) {
        if let Some(expires_at) = permission.expires_at() {
            self.expiry_lead = expiry_lead(time_until(expires_at), expiry_spread, jitter);
        }
        self.permission = Some(permission);
    }

    /// Completes when the response must end. Cancel-safe.
    ///
    /// There is one timer for all bounds, since every client has such a future for as long as it reads.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` would keep itself twice in the memory of every client")]
    pub(crate) fn ended(mut self) -> impl Future<Output = EndReason> + Send {
        async move {
            let mut is_draining = false;
            loop {
                let withdrawal = match self.permission.as_mut().map(Permission::check) {
                    None => None,
                    Some(Ok(withdrawal)) => withdrawal,
                    Some(Err(end)) => return end,
                };
                // Computed again after each change, since the wall clock may have been set.
                let expiry = self.permission.as_ref().and_then(Permission::expires_at).map(|expires_at| {
                    (Instant::now() + time_until(expires_at).saturating_sub(self.expiry_lead), EndReason::Expired)
                });
                let ends = self.deadline.into_iter().chain(expiry).chain(withdrawal);
                let first = ends.min_by_key(|(at, _)| *at);
                let first = OptionFuture::from(first.map(|(at, end)| sleep_until(at).map(move |()| end)));
                let changed = OptionFuture::from(self.permission.as_mut().map(Permission::changed));
                let replaced = OptionFuture::from(self.replaced.as_ref().map(CancellationToken::cancelled));
                tokio::select! {
                    Some(()) = replaced => return EndReason::Replaced,
                    Some(end) = first => return end,
                    since = self.draining.started(), if !is_draining => {
                        is_draining = true;
                        set_earlier(&mut self.deadline, since + self.drain_delay, EndReason::Drain);
                    }
                    Some(changed) = changed => if let Err(end) = changed {
                        return end;
                    },
                }
            }
        }
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

/// Moves the deadline to `at` unless it is earlier already.
fn set_earlier(deadline: &mut Option<(Instant, EndReason)>, at: Instant, end: EndReason) {
    if deadline.is_none_or(|(earliest, _)| at < earliest) {
        *deadline = Some((at, end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
