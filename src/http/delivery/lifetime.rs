//! How long a response may live: until its token expires or is revoked, its largest age, or the gateway's leaving.
//!
//! One future that completes with the reason. It is polled by the delivery and, for responses that hyper carries, by a
//! guard outside the body as well, so that a client that does not read cannot stop it.

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

/// How long a client that is being ended may take for the rest of what it was sent, so that the end is a clean one.
pub const GRACE: Duration = Duration::from_millis(500);

/// What bounds one response's life.
#[derive(Clone)]
pub struct Lifetime {
    /// The earliest moment that is known in advance.
    deadline: Option<(Instant, EndReason)>,
    draining: Draining,
    /// How long after the drain began this response leaves.
    departure: Duration,
    permission: Option<Permission>,
    replaced: Option<CancellationToken>,
}

impl Lifetime {
    /// A life without bounds but the gateway's. `spread` is over how long a drain spreads departures, `share` where in
    /// it this response leaves, uniform in `0.0..1.0`.
    pub fn new(draining: Draining, spread: Duration, share: f64) -> Self {
        Self { deadline: None, draining, departure: arithmetic::scale(spread, share), permission: None, replaced: None }
    }

    /// Ends at `most` from now at the latest, a tenth of it earlier at random so that clients do not leave together.
    pub fn at_most(&mut self, most: Duration, share: f64) {
        bound(&mut self.deadline, Instant::now() + arithmetic::scale(most, 1.0 - 0.1 * share), EndReason::MaxAge);
    }

    /// Ends when another gets its place.
    pub fn until_replaced(&mut self, replaced: CancellationToken) {
        self.replaced = Some(replaced);
    }

    /// Ends when the permission does: at its expiry, or up to `spread` earlier, by [`head_start`].
    pub fn while_permitted(&mut self, permission: Permission, spread: Duration, share: f64) {
        if let Some(expires_at) = permission.expires_at() {
            let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
            bound(&mut self.deadline, Instant::now() + left - head_start(left, spread, share), EndReason::Expired);
        }
        self.permission = Some(permission);
    }

    /// Completes when it is over. Cancel-safe.
    ///
    /// One timer, whatever bounds the life: every client has such a future for as long as it reads.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` would keep itself twice in the memory of every client")]
    pub fn over(mut self) -> impl Future<Output = EndReason> + Send {
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
                let replaced = OptionFuture::from(self.replaced.as_ref().map(CancellationToken::cancelled));
                tokio::select! {
                    Some(()) = replaced => return EndReason::Replaced,
                    Some(end) = first => return end,
                    since = self.draining.since(), if !is_draining => {
                        is_draining = true;
                        bound(&mut self.deadline, since + self.departure, EndReason::Drain);
                    }
                    Some(changed) = changed => if let Err(end) = changed {
                        return end;
                    },
                }
            }
        }
    }
}

/// Returns how long before its token a response ends that has so much of the token's life left. Thousands of tokens that
/// a login or a rotation made together expire in one second; their clients are to come back one by one.
fn head_start(left: Duration, spread: Duration, share: f64) -> Duration {
    match left >= SPREAD_FROM {
        true => arithmetic::scale(spread.min(left / 10), share),
        false => Duration::ZERO,
    }
}

/// Tokens with less left than this are used to their end: who makes such tokens counts seconds.
const SPREAD_FROM: Duration = Duration::from_secs(60);

/// Completes as `life` does. If `unenforced`, the life that the response would have if the route enforced its rules, ends
/// before by the token, that is logged and counted.
pub async fn noting(life: Lifetime, unenforced: Lifetime, metrics: Arc<RouteMetrics>) -> EndReason {
    let mut over = pin!(life.over());
    tokio::select! {
        end = &mut over => return end,
        end = unenforced.over() => if matches!(end, EndReason::Expired | EndReason::Revoked) {
            metrics.auth_failure(end.as_str());
            info!(route = metrics.name(), reason = end.as_str(), "would end (auth.enforce = false)");
        },
    }
    over.await
}

fn bound(deadline: &mut Option<(Instant, EndReason)>, at: Instant, end: EndReason) {
    if deadline.is_none_or(|(earliest, _)| at < earliest) {
        *deadline = Some((at, end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_ends_before_its_token_by_a_tenth_at_most_and_not_where_little_is_left() {
        let head_start =
            |left, spread, share| head_start(Duration::from_secs(left), Duration::from_secs(spread), share).as_millis();

        assert_eq!(head_start(3600, 10, 0.5), 5_000);
        assert_eq!(head_start(60, 10, 0.5), 3_000);
        assert_eq!(head_start(59, 10, 0.5), 0);
        assert_eq!(head_start(3600, 0, 0.5), 0);
        assert_eq!(head_start(3600, 10, 0.0), 0);
    }
}
