//! When a connection stops taking requests because the gateway leaves.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::timeouts::ConnectionTimeouts;
use crate::runtime::tasks::Draining;

/// How long a connection that came just before the gateway left has for its first request.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(3);

/// How often it is asked whether that has come.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Completes when the connection is to take no more requests because the gateway leaves: at once, but where another
/// process takes over nobody is turned away, so that a connection on which nothing has been asked yet still may.
#[expect(clippy::manual_async_fn, reason = "an `async fn` would keep what it is given twice")]
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
            sleep(POLL_INTERVAL).await;
        }
    }
}
