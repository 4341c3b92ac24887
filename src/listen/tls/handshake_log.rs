//! Refused TLS handshakes in the log: why a client could not connect, ten lines a second at most.
//!
//! Every refusal is counted by `rillgate_tls_handshakes_total`. Lines are for people: whoever sends garbage to a port must
//! not be able to fill a disk.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::info;

/// Most lines in a second.
const MAX_LINES_PER_SECOND: u32 = 10;

/// The log of one listener's handshakes.
#[derive(Debug)]
pub struct HandshakeLog {
    listener: String,
    /// Held for a comparison, never across an await.
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
    /// Opens the log of the listener with this name.
    pub fn new(listener: impl Into<String>) -> Self {
        let window = Window { start: Instant::now(), lines: 0, left_out: 0 };
        Self { listener: listener.into(), window: Mutex::new(window) }
    }

    /// Says why a client's handshake came to nothing, unless this second has had its lines.
    pub fn refused(&self, client: SocketAddr, error: &dyn Display) {
        let Some(left_out) = self.window.lock().take_line(Instant::now()) else { return };
        let client = client.ip().to_canonical();
        info!(%client, listener = self.listener, %error, left_out, "TLS handshake refused");
    }
}

impl Window {
    /// Takes room for a line, if there is any; how many had none since the line before.
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
    fn a_second_has_ten_lines_and_the_next_tells_how_many_were_left_out() {
        let begun = Instant::now();
        let mut window = Window { start: begun, lines: 0, left_out: 0 };

        let lines = (0..25).filter_map(|_| window.take_line(begun)).count();

        assert_eq!(lines, 10);
        assert_eq!(window.take_line(begun + Duration::from_secs(1)), Some(15));
        assert_eq!(window.take_line(begun + Duration::from_secs(1)), Some(0));
    }
}
