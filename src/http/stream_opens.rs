//! The rates at which requests open streams: for each client address and for each route.
//!
//! Opening a stream costs an upstream connection, and asking for one costs a client a few bytes. A request that joins an
//! open stream, a reconnection of the upstream, and a stream that is always open do not count.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::limits::SharedLimits;
use crate::runtime::token_buckets::{OverRate, TokenBuckets};
use crate::telemetry::{Room, ShareMetrics};

/// Limits how often requests open streams.
pub(crate) struct StreamOpenLimits {
    limits: SharedLimits,
    by_address: TokenBuckets<IpAddr>,
    by_route: TokenBuckets<Arc<str>>,
    metrics: ShareMetrics,
}

/// The rate that a request would exceed, with the time until it may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamOpenRefusal {
    /// `limits.stream_opens_per_second.ip`.
    Address(Duration),
    /// `limits.stream_opens_per_second.route`.
    Route(Duration),
}

impl StreamOpenLimits {
    /// Limits by the rates in force.
    pub(crate) fn new(limits: SharedLimits, metrics: ShareMetrics) -> Self {
        Self { limits, by_address: TokenBuckets::default(), by_route: TokenBuckets::default(), metrics }
    }

    /// Waits until a client of this address may open a stream on this route. Without an address, only the route counts.
    ///
    /// # Errors
    /// The rate that is exceeded, if the wait would be longer than `max_wait`.
    pub(crate) async fn acquire(
        &self,
        address: Option<IpAddr>,
        route: Arc<str>,
        max_wait: Duration,
    ) -> Result<(), StreamOpenRefusal> {
        let rates = self.limits.load().stream_opens_per_second;
        let of_address = match address {
            Some(address) => self.by_address.take(address, rates.ip, max_wait),
            None => Ok(Duration::ZERO),
        };
        let refused = |refusal: fn(Duration) -> StreamOpenRefusal, over: OverRate| {
            self.metrics.refused(Room::StreamOpens);
            refusal(over.retry_after)
        };
        let of_address = of_address.map_err(|over| refused(StreamOpenRefusal::Address, over))?;
        let of_route = self.by_route.take(route, rates.route, max_wait);
        let of_route = of_route.map_err(|over| refused(StreamOpenRefusal::Route, over))?;
        let wait = of_address.max(of_route);
        if !wait.is_zero() {
            sleep(wait).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;

    use super::*;
    use crate::config::default_limits;
    use crate::limits::{Limits, StreamOpenRates};
    use crate::telemetry::Metrics;

    fn limits(ip: u32, route: u32) -> StreamOpenLimits {
        let stream_opens_per_second = StreamOpenRates { ip, route };
        let limits = Limits { stream_opens_per_second, ..default_limits() };
        StreamOpenLimits::new(Arc::new(ArcSwap::from_pointee(limits)), Metrics::new("test").shares().clone())
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_over_its_rate_waits_and_is_then_refused() {
        let opens = limits(1, 1000);
        let second = Duration::from_secs(1);
        for _ in 0..10 {
            assert_eq!(opens.acquire(address(1), "a".into(), Duration::ZERO).await, Ok(()));
        }

        let refused = opens.acquire(address(1), "a".into(), Duration::ZERO).await;
        assert_eq!(refused, Err(StreamOpenRefusal::Address(second)));
        let begun = tokio::time::Instant::now();
        assert_eq!(opens.acquire(address(1), "a".into(), 2 * second).await, Ok(()));

        assert_eq!(begun.elapsed(), second);
        assert_eq!(opens.acquire(address(2), "a".into(), Duration::ZERO).await, Ok(()), "others do not wait");
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_over_its_rate_refuses_every_address_and_other_routes_none() {
        let opens = limits(1000, 1);
        for last in 0..10 {
            assert_eq!(opens.acquire(address(last), "a".into(), Duration::ZERO).await, Ok(()));
        }

        let refused = opens.acquire(None, "a".into(), Duration::ZERO).await;

        assert!(matches!(refused, Err(StreamOpenRefusal::Route(_))));
        assert_eq!(opens.acquire(address(1), "b".into(), Duration::ZERO).await, Ok(()));
    }
}
