//! A log line at most once a minute.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Allows one log line in a minute, and counts the others.
#[derive(Debug, Default)]
pub(super) struct LimitedLog {
    /// The time of the last line, and the number of those that were suppressed since. Never held across an await.
    last: Mutex<(Option<Instant>, u64)>,
}

impl LimitedLog {
    /// Returns the number of lines that were suppressed since the last one, or `None` if this one is suppressed too.
    pub(super) fn acquire(&self) -> Option<u64> {
        let (now, mut last) = (Instant::now(), self.last.lock());
        if last.0.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            last.1 += 1;
            return None;
        }
        last.0 = Some(now);
        Some(std::mem::take(&mut last.1))
    }
}

const INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_minute_tells_how_many_were_left_out() {
        let log = LimitedLog::default();

        assert_eq!([log.acquire(), log.acquire(), log.acquire()], [Some(0), None, None]);
        tokio::time::advance(INTERVAL).await;
        assert_eq!([log.acquire(), log.acquire()], [Some(2), None]);
    }
}
