//! Reads the body of a response as batches of items.
//!
//! Each read is parsed in parts of at most [`PARSE_BYTES`]. Holds no event except the one that is not complete, and those
//! that came together with a verdict that was awaited.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::HeaderMap;
use tokio::time::timeout;

use super::chained::Chained;
use super::connection::UpstreamExchange;
use crate::sse::Parser;
use crate::stream::{Batch, Continuity, Interrupted, OpenError};

/// The reader of one response.
pub(super) struct ResponseReader {
    exchange: UpstreamExchange,
    /// Bytes that were received and not parsed yet.
    unread: Bytes,
    parser: Parser,
    chained: Option<Chained>,
    idle_timeout: Option<Duration>,
    /// The outcomes of reads that are returned next.
    ahead: VecDeque<Result<Batch, Interrupted>>,
    /// The end of the body has been read.
    has_ended: bool,
}

impl ResponseReader {
    /// Starts to read the body of `exchange`.
    pub(super) fn new(mut exchange: UpstreamExchange, max_event: usize, idle_timeout: Option<Duration>) -> Self {
        let chained = Chained::of(exchange.response.headers());
        // They refer to the connection's first buffer, which would stay for as long as the stream.
        *exchange.response.headers_mut() = HeaderMap::new();
        let parser = Parser::new(max_event);
        let parser = if chained.is_some() { Chained::parser(parser) } else { parser };
        Self { exchange, unread: Bytes::new(), parser, chained, idle_timeout, ahead: VecDeque::new(), has_ended: false }
    }

    /// Returns true while an upstream that is a rillgate has not told the verdict of the response.
    pub(super) fn is_pending(&self) -> bool {
        self.chained.as_ref().is_some_and(Chained::is_pending)
    }

    /// Waits for the verdict. Cancel-safe: nothing that was read is lost.
    ///
    /// # Errors
    /// The upstream's refusal.
    pub(super) async fn decide(&mut self) -> Result<Continuity, OpenError> {
        loop {
            let Some(read) = self.read().await else {
                self.has_ended = true;
                return Ok(Continuity::Unknown);
            };
            let mut batch = match read {
                Ok(batch) => batch,
                Err(Interrupted::Refused(error)) => return Err(error),
                Err(interrupted) => {
                    self.ahead.push_back(Err(interrupted));
                    return Ok(Continuity::Unknown);
                }
            };
            let verdict = self.chained.as_mut().and_then(|chained| chained.take_verdict(&mut batch.items));
            let is_empty = batch.items.is_empty();
            if !is_empty {
                self.ahead.push_back(Ok(batch));
            }
            // Nothing precedes a verdict, so whoever sends something else tells none.
            if verdict.is_some() || !is_empty {
                return Ok(verdict.unwrap_or(Continuity::Unknown));
            }
        }
    }

    /// Returns the items as they arrive.
    pub(super) fn into_items(self) -> BoxStream<'static, Result<Batch, Interrupted>> {
        stream::unfold(self, |mut reader| async {
            let batch = reader.next().await?;
            Some((batch, reader))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<Batch, Interrupted>> {
        match self.ahead.pop_front() {
            Some(read) => Some(read),
            None if self.has_ended => None,
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Option<Result<Batch, Interrupted>> {
        if let Some(refusal) = self.chained.as_mut().and_then(Chained::take_refusal) {
            return Some(Err(Interrupted::Refused(refusal)));
        }
        if self.unread.is_empty() {
            let data = poll_fn(|cx| self.exchange.poll_data(cx).map_err(Interrupted::Broken));
            let data = match self.idle_timeout {
                Some(idle) => match timeout(idle, data).await {
                    Ok(data) => data,
                    Err(_) => return Some(Err(Interrupted::IdleTimeout(idle))),
                },
                None => data.await,
            };
            match data? {
                Ok(data) => self.unread = data,
                Err(interrupted) => return Some(Err(interrupted)),
            }
        }
        let data = self.unread.split_to(self.unread.len().min(PARSE_BYTES));
        let mut batch = Batch { items: Vec::new(), bytes: data.len(), incomplete: 0, window: self.exchange.window() };
        self.parser.push(&data, &mut batch.items);
        batch.incomplete = self.parser.memory();
        if let Some(chained) = &mut self.chained {
            chained.translate_items(&mut batch.items);
        }
        Some(Ok(batch))
    }
}

/// Most bytes that are parsed at once, so that the caller can yield in between.
const PARSE_BYTES: usize = 16 * 1024;
