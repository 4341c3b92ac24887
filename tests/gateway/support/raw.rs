//! A connection in raw bytes: for requests that no HTTP library would send, and for responses as they are on the wire.
//!
//! Always true: everything that was read is kept, and a wait that fails shows it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::client::Client;
use super::transport::Transport;
use super::wait::{DEADLINE, within};

/// A connection, and the bytes that it has received.
pub struct Raw {
    transport: Box<dyn Transport>,
    received: Vec<u8>,
    is_over: bool,
}

impl Raw {
    /// Connects as the client would.
    pub async fn dial(client: &Client) -> Self {
        let transport = within(DEADLINE, "connection", client.dial()).await.unwrap();
        Self { transport, received: Vec::new(), is_over: false }
    }

    /// Connects, sends, and reads to the end of the connection.
    pub async fn exchange(client: &Client, bytes: &[u8]) -> String {
        let mut raw = Self::dial(client).await;
        raw.send(bytes).await;
        raw.read_to_end(DEADLINE).await
    }

    /// Sends; a peer that has closed already is not an error here.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.try_send(bytes).await;
    }

    pub async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        within(DEADLINE, "room to send", async {
            self.transport.write_all(bytes).await?;
            self.transport.flush().await
        })
        .await
    }

    /// Returns the bytes received so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Reads until `text` has arrived or the connection ends; returns whether it arrived.
    pub async fn read_until(&mut self, text: &str, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        while !self.text().contains(text) {
            if self.is_over || !self.read(end).await {
                return false;
            }
        }
        true
    }

    /// Reads until the peer closes.
    ///
    /// # Panics
    /// Panics if it does not within the deadline.
    pub async fn read_to_end(&mut self, deadline: Duration) -> String {
        assert!(self.is_closed_within(deadline).await, "still open after {deadline:?}: {:?}", self.text());
        self.text()
    }

    /// Whether the peer closes within this time.
    pub async fn is_closed_within(&mut self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        while !self.is_over {
            if !self.read(end).await {
                return self.is_over;
            }
        }
        true
    }

    /// Reads once; returns false at the deadline and at the end.
    /// Reads at most `most` bytes, as soon as there are any.
    pub async fn read_some(&mut self, most: usize) {
        let mut buffer = vec![0; most];
        let count = within(DEADLINE, "bytes", self.transport.read(&mut buffer)).await.unwrap_or(0);
        self.received.extend_from_slice(&buffer[..count]);
        self.is_over |= count == 0;
    }

    async fn read(&mut self, end: Instant) -> bool {
        let mut buffer = [0; 16 * 1024];
        match timeout_at(end, self.transport.read(&mut buffer)).await {
            Err(_) => false,
            Ok(Ok(0) | Err(_)) => {
                self.is_over = true;
                false
            }
            Ok(Ok(count)) => {
                self.received.extend_from_slice(&buffer[..count]);
                true
            }
        }
    }
}

/// Counts the status lines in an HTTP/1 conversation.
pub fn responses(text: &str) -> usize {
    ["HTTP/1.0 ", "HTTP/1.1 "].iter().map(|version| text.matches(version).count()).sum()
}

/// Returns the first status of an HTTP/1.1 conversation, or 0.
pub fn status(text: &str) -> u16 {
    text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|status| status.parse().ok()).unwrap_or(0)
}
