//! The HTTP/2 connections of one upstream, which its streams share.
//!
//! ```text
//!  stream 1 ─┐
//!  stream 2 ─┼─▶ connection 1 (as many streams as the origin allows) ──▶ origin
//!  stream 3 ─┘
//!  stream 4 ───▶ connection 2
//! ```
//!
//! A stream takes the first connection with room; one attempt to open another runs at a time for each origin. A
//! connection is closed with its last stream. Nothing is retried here: when a connection breaks, its streams end, and each
//! ingest connects anew.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use h2::client::SendRequest;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::http2_connection::Http2Connection;
use crate::runtime::tasks::Tasks;

/// The HTTP/2 connections of one upstream.
#[derive(Default)]
pub struct Http2Pool {
    /// By scheme and authority. Never held across an await.
    origins: Mutex<HashMap<String, Arc<OriginPool>>>,
}

/// The connections to one origin.
#[derive(Default)]
struct OriginPool {
    /// Never held across an await.
    open: Mutex<OpenConnections>,
    /// Held while a connection is opened, across an await. Contains the time and reason of the last failure.
    attempt: tokio::sync::Mutex<Option<(Instant, String)>>,
}

#[derive(Default)]
struct OpenConnections {
    connections: Vec<PooledConnection>,
    /// The number of connections ever opened.
    opened: u64,
}

struct PooledConnection {
    number: u64,
    sender: SendRequest<Bytes>,
    end: Arc<OnceLock<String>>,
    streams: usize,
}

/// A place for one stream on a connection. Dropping it frees the place.
pub(super) struct Http2Permit {
    pool: Arc<OriginPool>,
    number: u64,
    end: Arc<OnceLock<String>>,
    /// Whether the connection was opened for this stream.
    pub(super) is_new: bool,
    /// Sends the request of the stream.
    pub(super) sender: SendRequest<Bytes>,
}

/// Removes a connection from the pool when it is dropped, also by a panic.
struct Membership {
    pool: Arc<OriginPool>,
    number: u64,
}

impl Http2Pool {
    /// Returns a place on a connection to `origin`, a scheme and an authority. If none has room, it opens one with `open`
    /// and drives it in a task. Cancel-safe.
    ///
    /// # Errors
    /// Returns the reason as text if there is no connection: that of `open`, or the number of connections.
    pub(super) async fn acquire<T>(
        &self,
        origin: &str,
        tasks: &Tasks,
        open: impl Future<Output = Result<Http2Connection<T>, String>>,
    ) -> Result<Http2Permit, String>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let pool = self.origins.lock().entry(origin.to_owned()).or_default().clone();
        let since = Instant::now();
        if let Some(permit) = pool.take_place() {
            return Ok(permit);
        }
        let mut failure = pool.attempt.lock().await;
        // Another stream may have opened a connection, or failed to, while this one waited.
        if let Some(permit) = pool.take_place() {
            return Ok(permit);
        }
        if let Some((_, reason)) = failure.as_ref().filter(|(at, _)| *at > since) {
            return Err(reason.clone());
        }
        let opened = pool.open(tasks, open).await;
        *failure = opened.as_ref().err().map(|reason| (Instant::now(), reason.clone()));
        opened
    }
}

impl OriginPool {
    fn take_place(self: &Arc<Self>) -> Option<Http2Permit> {
        let mut open = self.open.lock();
        let has_room = |known: &&mut PooledConnection| known.streams < known.sender.current_max_send_streams();
        let connection = open.connections.iter_mut().find(has_room)?;
        connection.streams += 1;
        Some(connection.permit(self, false))
    }

    async fn open<T>(
        self: &Arc<Self>,
        tasks: &Tasks,
        open: impl Future<Output = Result<Http2Connection<T>, String>>,
    ) -> Result<Http2Permit, String>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        if self.open.lock().connections.len() >= MAX_CONNECTIONS {
            return Err(format!(
                "all of {MAX_CONNECTIONS} HTTP/2 connections have as many streams as the server allows"
            ));
        }
        let connection = open.await?;
        let permit = {
            let mut open = self.open.lock();
            open.opened += 1;
            let (sender, end) = (connection.sender.clone(), connection.end.clone());
            let pooled = PooledConnection { number: open.opened, sender, end, streams: 1 };
            let permit = pooled.permit(self, true);
            open.connections.push(pooled);
            permit
        };
        let membership = Membership { pool: self.clone(), number: permit.number };
        tasks.spawn("upstream connection", async move {
            let _membership = membership;
            connection.drive().await;
        });
        Ok(permit)
    }

    fn remove(&self, number: u64) {
        self.open.lock().connections.retain(|known| known.number != number);
    }
}

impl PooledConnection {
    fn permit(&self, pool: &Arc<OriginPool>, is_new: bool) -> Http2Permit {
        let (sender, end) = (self.sender.clone(), self.end.clone());
        Http2Permit { pool: pool.clone(), number: self.number, end, is_new, sender }
    }
}

impl Http2Permit {
    /// Takes the connection out of the pool, since it accepts no further streams. Its open streams go on.
    pub(super) fn retire(&self) {
        self.pool.remove(self.number);
    }

    /// Returns the reason for which the gateway ended the connection, if it did.
    pub(super) fn end(&self) -> Option<&str> {
        self.end.get().map(String::as_str)
    }
}

impl Drop for Http2Permit {
    fn drop(&mut self) {
        let mut open = self.pool.open.lock();
        if let Some(connection) = open.connections.iter_mut().find(|known| known.number == self.number) {
            connection.streams -= 1;
        }
        // The last sender of a connection closes it.
        open.connections.retain(|known| known.streams > 0);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.pool.remove(self.number);
    }
}

impl fmt::Debug for Http2Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} origins", self.origins.lock().len())
    }
}

/// Most HTTP/2 connections to one origin of an upstream that accept streams.
pub(super) const MAX_CONNECTIONS: usize = 64;
