//! The end of the path into the log: commits entries, appends them in portions and wakes the readers in parts.
//!
//! Knows neither the upstream nor what the entries hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commit::{Fenced, StreamFeed};
use crate::stream::event_stream::EventStream;
use crate::stream::log::Entry;
use crate::stream::log_memory::LogMemory;
use crate::stream::read::WakeSweep;

/// The publisher pauses after publishing this fraction of the log's bounds at once, so that readers can take it.
const BURST_DIVISOR: usize = 4;

/// Long enough to schedule the readers, short enough for some 100,000 events a second into a log of 1000 events.
const BURST_PAUSE: Duration = Duration::from_millis(1);

/// The longest time for which one publish keeps its stream from growing, however many portions it has.
const MAX_PUBLISH_PAUSE: Duration = Duration::from_secs(6);

/// Publishes the entries of one stream.
pub(in crate::stream) struct Publisher {
    stream: Arc<EventStream>,
    /// The bound on the memory of all logs.
    memory: LogMemory,
    feed: StreamFeed,
    burst: Burst,
    /// Wakes the readers in parts, so that new events do not wait until all of them have run.
    sweep: WakeSweep,
}

/// The entries published since the upstream last made the ingest wait, or since all readers were woken in parts.
#[derive(Debug)]
struct Burst {
    since: Instant,
    events: usize,
    bytes: usize,
}

impl Default for Burst {
    fn default() -> Self {
        Self { since: Instant::now(), events: 0, bytes: 0 }
    }
}

impl Publisher {
    /// Creates the publisher of a stream.
    pub(in crate::stream) fn new(stream: Arc<EventStream>, memory: LogMemory, feed: StreamFeed) -> Self {
        Self { stream, memory, feed, burst: Burst::default(), sweep: WakeSweep::default() }
    }

    /// Commits the entries, appends them, and begins to wake the readers.
    ///
    /// Returns the time for which the stream must not grow, if memory is short and its log holds more than its part: the
    /// sum for all portions, at most [`MAX_PUBLISH_PAUSE`].
    ///
    /// # Errors
    /// Something else feeds the stream. Nothing has been appended.
    pub(in crate::stream) async fn publish(&mut self, mut entries: Vec<Entry>) -> Result<Option<Duration>, Fenced> {
        let mut pause: Option<Duration> = None;
        loop {
            let rest = match &self.feed {
                StreamFeed::Committed(commit) if !entries.is_empty() => {
                    let accepted = commit.commit(&entries).await?;
                    entries.split_off(accepted.max(1).min(entries.len()))
                }
                StreamFeed::Committed(_) | StreamFeed::Alone => Vec::new(),
            };
            if let Some(more) = self.append(entries).await {
                pause = Some(pause.unwrap_or_default().saturating_add(more).min(MAX_PUBLISH_PAUSE));
            }
            if rest.is_empty() {
                return Ok(pause);
            }
            entries = rest;
        }
    }

    /// Notes that the upstream is connected.
    ///
    /// # Errors
    /// Something else feeds the stream.
    pub(super) async fn opened(&self) -> Result<(), Fenced> {
        match &self.feed {
            StreamFeed::Committed(commit) => commit.opened().await,
            StreamFeed::Alone => Ok(()),
        }
    }

    /// Notes that the upstream has ended the stream.
    ///
    /// # Errors
    /// Something else feeds the stream.
    pub(super) async fn completed(&self) -> Result<(), Fenced> {
        match &self.feed {
            StreamFeed::Committed(commit) => commit.completed().await,
            StreamFeed::Alone => Ok(()),
        }
    }

    /// Notes that the stream has ended before its end.
    ///
    /// # Errors
    /// Something else feeds the stream.
    pub(super) async fn broken(&self) -> Result<(), Fenced> {
        match &self.feed {
            StreamFeed::Committed(commit) => commit.broken().await,
            StreamFeed::Alone => Ok(()),
        }
    }

    /// Returns the most bytes that an entry may have, its ids included.
    pub(super) fn max_entry(&self) -> usize {
        match &self.feed {
            StreamFeed::Committed(commit) => commit.max_entry(),
            StreamFeed::Alone => usize::MAX,
        }
    }

    /// Appends entries in portions, and begins to wake the readers. Returns the time for which the stream must not grow.
    async fn append(&mut self, entries: Vec<Entry>) -> Option<Duration> {
        let retention = self.stream.policy().current().retention;
        let (most_events, most_bytes) = (retention.events.div_ceil(BURST_DIVISOR), retention.bytes / BURST_DIVISOR);
        let (mut portion, mut bytes) = (Vec::new(), 0);
        let mut pause: Option<Duration> = None;
        let mut add_pause = |more: Option<Duration>| {
            if let Some(more) = more {
                pause = Some(pause.unwrap_or_default().saturating_add(more).min(MAX_PUBLISH_PAUSE));
            }
        };
        for entry in entries {
            self.burst.events += 1;
            self.burst.bytes += entry.frame.len();
            bytes += entry.frame.len();
            portion.push(entry);
            // Publishing more at once than the log holds would evict entries before the fastest reader could take them.
            if self.burst.events >= most_events || self.burst.bytes >= most_bytes {
                self.stream.publish(portion.drain(..));
                add_pause(self.memory.make_room(&self.stream, bytes));
                tokio::time::sleep(BURST_PAUSE).await;
                bytes = 0;
                self.burst = Burst::default();
            }
        }
        let is_new = self.stream.append(portion);
        add_pause(self.memory.make_room(&self.stream, bytes));
        if is_new {
            self.stream.waiters().begin_sweep(&mut self.sweep);
            self.wake_some().await;
        }
        pause
    }

    /// Returns true if readers remain to be woken.
    pub(super) fn is_waking(&self) -> bool {
        !self.sweep.is_done()
    }

    /// Wakes some of the readers. Yields to them if more remain to be woken.
    pub(super) async fn wake_some(&mut self) {
        self.stream.waiters().wake_some(&mut self.sweep);
        if self.sweep.is_done() {
            return;
        }
        tokio::task::yield_now().await;
        // All readers have been woken since the burst began, and those on other workers have had time for a pause.
        if self.sweep.has_wrapped() && self.burst.since.elapsed() >= BURST_PAUSE {
            self.burst = Burst::default();
        }
    }

    /// Wakes the readers that remain to be woken.
    pub(in crate::stream) fn finish_waking(&mut self) {
        self.stream.waiters().finish_sweep(&mut self.sweep);
    }

    /// Lets the stream not grow for this time, if any. Wakes the readers that remain to be woken before. Cancel-safe.
    pub(in crate::stream) async fn pause(&mut self, pause: Option<Duration>) {
        if let Some(pause) = pause {
            self.finish_waking();
            tokio::time::sleep(pause).await;
        }
    }

    /// Ends the burst, because the upstream has nothing ready.
    pub(super) fn end_burst(&mut self) {
        self.burst = Burst::default();
    }
}
