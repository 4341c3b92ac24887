//! One HTTP/2 connection to an origin, over a transport that is open.
//!
//! It is open once the origin has answered a PING: its SETTINGS come before, so the number of streams that it allows is
//! known. From then on a PING at each interval finds an origin that has gone.
//!
//! The window of the connection is as wide as the protocol allows, so that a stream that is not read holds up no other.
//! The windows of its streams bound what the connection holds.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

use super::error_text::error_chain;
use crate::runtime::arithmetic;
use crate::runtime::human_duration::format_duration;

/// An open connection. Its streams get data only while [`drive`](Self::drive) is polled.
pub(super) struct Http2Connection<T> {
    connection: Connection<T, Bytes>,
    ping: PingPong,
    interval: Duration,
    /// Sends requests.
    pub(super) sender: SendRequest<Bytes>,
    /// The reason for the end, if it was found here.
    pub(super) end: Arc<OnceLock<String>>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Http2Connection<T> {
    /// Begins HTTP/2 on `io`, and waits until the peer has answered in it, at most for `limit`. `idle_timeout` is that of
    /// the streams.
    ///
    /// # Errors
    /// Returns the reason as text if the peer does not answer in HTTP/2.
    pub(super) async fn open(io: T, limit: Duration, idle_timeout: Option<Duration>) -> Result<Self, String> {
        let opened = timeout(limit, Self::handshake(io, ping_interval(idle_timeout))).await;
        opened.unwrap_or_else(|_| Err(format!("no answer within {}", format_duration(limit))))
    }

    async fn handshake(io: T, interval: Duration) -> Result<Self, String> {
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST_BYTES)
            .data_frame_budget(SMALL_FRAME_BYTES)
            .max_concurrent_reset_streams(MAX_RESET_STREAMS)
            .reset_stream_duration(RESET_STREAM_TIME);
        let (sender, mut connection) = builder.handshake(io).await.map_err(|error| error_chain(&error))?;
        let mut ping = connection.ping_pong().expect("it is taken once");
        tokio::select! {
            ended = &mut connection => {
                Err(ended.err().map_or_else(|| "the server closed it".to_owned(), |error| error_chain(&error)))
            }
            answered = ping.ping(Ping::opaque()) => {
                answered.map_err(|error| error_chain(&error))?;
                Ok(Self { connection, ping, interval, sender, end: Arc::default() })
            }
        }
    }

    /// Moves the bytes of the connection until it ends. Dropping the future ends it, and all its streams.
    pub(super) async fn drive(self) {
        let Self { mut connection, mut ping, interval, end, sender } = self;
        // The connection ends with its last sender.
        drop(sender);
        let pings = async {
            loop {
                sleep(interval).await;
                match timeout(interval, ping.ping(Ping::opaque())).await {
                    Ok(Ok(_)) => {}
                    // The connection has ended and says why.
                    Ok(Err(_)) => std::future::pending().await,
                    Err(_) => return format!("no answer to a PING within {}", format_duration(interval)),
                }
            }
        };
        tokio::select! {
            // Its streams report the error.
            _ = &mut connection => {}
            reason = pings => {
                let _ = end.set(reason);
            }
        }
    }
}

/// Returns the time between two PINGs, which is also the time for the answer. A dead connection ends before the idle timeout
/// of its streams, which would reconnect on the same one.
fn ping_interval(idle_timeout: Option<Duration>) -> Duration {
    idle_timeout.map_or(PING_INTERVAL, |idle| arithmetic::clamp(idle / 3, MIN_PING_INTERVAL, PING_INTERVAL))
}

/// Bytes that an origin may send on one stream before they are read.
pub(super) const STREAM_WINDOW: u32 = 64 * 1024;

/// Bytes that an origin may send on one connection before they are read: the most that the protocol allows (RFC 9113,
/// 6.9.1).
const CONNECTION_WINDOW: u32 = i32::MAX as u32;

/// Most bytes of a response head.
const HEADER_LIST_BYTES: u32 = 64 * 1024;

/// Bytes by which the DATA frames of one connection that are not read yet may be smaller than 256 bytes, in sum.
const SMALL_FRAME_BYTES: usize = 32 * 1024 * 1024;

/// Streams that were left and whose late data is still ignored.
const MAX_RESET_STREAMS: usize = 4096;

/// Time for which that is so.
const RESET_STREAM_TIME: Duration = Duration::from_secs(5);

/// The longest time between two PINGs, and for the answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// The shortest one, whatever the idle timeout: an origin that is merely busy must not count as dead.
const MIN_PING_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_connection_is_found_before_the_streams_give_up() {
        for idle in [1, 10, 60, 3600].map(Duration::from_secs) {
            let found = 2 * ping_interval(Some(idle));

            assert!(found < idle && found <= Duration::from_secs(40), "{found:?}");
        }
        assert_eq!(ping_interval(None), PING_INTERVAL);
    }
}
