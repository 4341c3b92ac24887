//! The drain signal of one connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::timeouts::ConnectionTimeouts;
use crate::runtime::tasks::Draining;

/// Longest wait for the first request of a new connection after the drain began.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(3);

/// Interval at which the connection is checked for its first request.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Completes when the connection must stop taking requests because the gateway drains.
///
/// That is at once unless another process takes over the listener. In that case a connection without a request yet gets
/// [`FIRST_REQUEST_GRACE`], so that no client is turned away.
#[expect(clippy::manual_async_fn, reason = "an `async fn` would store its arguments twice")]
pub(super) fn drain_signal(
    mut draining: Draining,
    timeouts: Arc<ConnectionTimeouts>,
    has_successor: bool,
) -> impl Future<Output = ()> + Send {
    async move {
        let established = Instant::now();
        let drain_began = draining.started().await;
        let deadline = drain_began.max(established) + FIRST_REQUEST_GRACE;
        while has_successor && timeouts.awaits_first_request() && Instant::now() < deadline {
            // Boxed, because few connections need this timer, and each keeps this future.
            Box::pin(sleep(POLL_INTERVAL)).await;
        }
    }
}
