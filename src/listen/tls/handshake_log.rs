//! Log lines about refused TLS handshakes, at most ten a second.
//!
//! The lines tell an operator why a client could not connect. `rillgate_tls_handshakes_total` counts every refusal. The
//! bound keeps a client that sends garbage from filling the disk.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::info;

/// Most lines in a second.
const MAX_LINES_PER_SECOND: u32 = 10;

/// Logs the refused handshakes of one listener.
#[derive(Debug)]
pub struct HandshakeLog {
    listener: String,
    /// Locked for a comparison, and never across an await.
    window: Mutex<Window>,
}

/// One second of the log.
#[derive(Debug)]
struct Window {
    start: Instant,
    lines: u32,
    left_out: u64,
}

impl HandshakeLog {
    /// Creates the log of the listener with this name.
    pub fn new(listener: impl Into<String>) -> Self {
        let window = Window { start: Instant::now(), lines: 0, left_out: 0 };
        Self { listener: listener.into(), window: Mutex::new(window) }
    }

    /// Logs a refused handshake, unless this second's lines are used up.
    pub fn refused(&self, client: SocketAddr, error: &dyn Display) {
        let Some(left_out) = self.window.lock().take_line(Instant::now()) else { return };
        let client = client.ip().to_canonical();
        info!(%client, listener = self.listener, %error, left_out, "TLS handshake refused");
    }
}

impl Window {
    /// Takes one of the second's lines. Returns the number of refusals since the last line that had none, or `None` if
    /// no line is left.
    fn take_line(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.start) >= Duration::from_secs(1) {
            (self.start, self.lines) = (now, 0);
        }
        if self.lines >= MAX_LINES_PER_SECOND {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_ten_lines_and_the_next_line_counts_the_rest() {
        let begun = Instant::now();
        let mut window = Window { start: begun, lines: 0, left_out: 0 };

        let lines = (0..25).filter_map(|_| window.take_line(begun)).count();

        assert_eq!(lines, 10);
        assert_eq!(window.take_line(begun + Duration::from_secs(1)), Some(15));
        assert_eq!(window.take_line(begun + Duration::from_secs(1)), Some(0));
    }
}
