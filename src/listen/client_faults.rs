//! Counts a client's faults on one connection: streams that it resets on HTTP/2 (RST_STREAM; RFC 9113, 6.4), and
//! requests that are refused because of what it sent.
//!
//! A client may reset streams, and a closed page resets many. But each reset and each refusal costs a request's whole
//! work, and while an HTTP/2 connection's window is closed h2 does not free the memory of a reset. A client over the
//! limit has to make a new connection. Does not close connections.

use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

/// Counts the faults of one connection.
#[derive(Debug)]
pub(in crate::listen) struct ClientFaults {
    /// Most faults in a minute. `None` for a trusted proxy's connection, which many clients share.
    max_per_minute: Option<u32>,
    count: u32,
    window_start: Instant,
}

/// The consequence of a connection's faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::listen) enum FaultLevel {
    /// Within the limit.
    Allowed,
    /// Over the limit: the connection accepts no more requests.
    Excessive,
    /// Over twice the limit: the client went on after the GOAWAY, and the connection is closed.
    Abusive,
}

const MINUTE: Duration = Duration::from_secs(60);

impl ClientFaults {
    pub(in crate::listen) fn new(max_per_minute: Option<u32>) -> Self {
        Self { max_per_minute, count: 0, window_start: Instant::now() }
    }

    /// Records one fault.
    pub(in crate::listen) fn record(&mut self, now: Instant) {
        if self.level() == FaultLevel::Allowed && now.duration_since(self.window_start) >= MINUTE {
            (self.count, self.window_start) = (0, now);
        }
        self.count = self.count.saturating_add(1);
    }

    pub(in crate::listen) fn level(&self) -> FaultLevel {
        match self.max_per_minute {
            Some(max_per_minute) if self.count > max_per_minute.saturating_mul(2) => FaultLevel::Abusive,
            Some(max_per_minute) if self.count > max_per_minute => FaultLevel::Excessive,
            Some(_) | None => FaultLevel::Allowed,
        }
    }
}

/// Whether a response with this status refuses a request because of what the client sent (RFC 9110, 15.5). The other
/// statuses of that class do not count: a gateway or an upstream may be their cause.
pub(in crate::listen) fn is_client_fault(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::URI_TOO_LONG
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn faults_are_counted_by_the_minute_until_the_limit_is_exceeded() {
        let mut faults = ClientFaults::new(Some(10));
        let begun = Instant::now();
        for second in 0..300 {
            faults.record(begun + Duration::from_secs(6 * second));
            assert_eq!(faults.level(), FaultLevel::Allowed);
        }

        let now = begun + Duration::from_secs(2000);
        let levels = (0..21).map(|_| {
            faults.record(now);
            faults.level()
        });

        let expected =
            [[FaultLevel::Allowed; 10].as_slice(), &[FaultLevel::Excessive; 10], &[FaultLevel::Abusive]].concat();
        assert_eq!(levels.collect::<Vec<_>>(), expected);
        faults.record(now + 2 * MINUTE);
        assert_eq!(faults.level(), FaultLevel::Abusive, "it does not come back");
    }

    #[test]
    fn a_trusted_proxy_has_no_limit_on_faults() {
        let mut faults = ClientFaults::new(None);

        (0..100_000).for_each(|_| faults.record(Instant::now()));

        assert_eq!(faults.level(), FaultLevel::Allowed);
    }
}
