//! A response, read as bytes and as events.
//!
//! Always true: only the methods here read, so an unused subscription is a client that has stopped reading. A wait that
//! fails shows the bytes so far. A dropped subscription disconnects: its own connection closes, or its stream on a
//! shared HTTP/2 connection is reset.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::client::Driver;
use super::content_decoder::ContentDecoder;
use super::event_source::{Event, EventSource, Item};
use super::wait::DEADLINE;

/// The end of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A last chunk, END_STREAM, or the announced length.
    Clean,
    /// Anything else.
    Broken(String),
}

/// A response with its body, usually an event stream.
pub struct Subscription {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    decoder: ContentDecoder,
    parser: EventSource,
    events: VecDeque<Event>,
    comments: Vec<String>,
    retries: Vec<Duration>,
    /// The first `KEPT_BYTES` of the body, decoded.
    received: Vec<u8>,
    total: usize,
    ending: Option<Ending>,
    _driver: Arc<Driver>,
}

impl Subscription {
    pub(super) fn new(response: Response<Incoming>, driver: Arc<Driver>) -> Self {
        let (head, body) = response.into_parts();
        let coding = head.headers.get("content-encoding").map_or("", |value| value.to_str().expect("a token"));
        Self {
            decoder: ContentDecoder::new(coding),
            status: head.status,
            headers: head.headers,
            body,
            parser: EventSource::default(),
            events: VecDeque::new(),
            comments: Vec::new(),
            retries: Vec::new(),
            received: Vec::new(),
            total: 0,
            ending: None,
            _driver: driver,
        }
    }

    /// Returns a header as text; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header in ASCII"))
    }

    /// Returns the next event that has not been taken yet.
    ///
    /// # Panics
    /// Panics if none comes before the deadline or the end.
    pub async fn next_event(&mut self, deadline: Duration) -> Event {
        self.read_until(deadline, "event", |now| !now.events.is_empty()).await;
        match self.events.pop_front() {
            Some(event) => event,
            None => panic!("the response ended before the event: {}", self.account()),
        }
    }

    /// Returns the next `count` events, each within the usual deadline.
    pub async fn next_events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.next_event(DEADLINE).await);
        }
        events
    }

    /// Waits for at least one event, and returns all that have arrived and not been taken. Returns `None` if the response
    /// has ended and all are taken. Cancel-safe.
    pub async fn events(&mut self) -> Option<Vec<Event>> {
        while self.events.is_empty() && self.ending.is_none() {
            match self.body.frame().await {
                None => self.end(),
                Some(Err(error)) => self.ending = Some(Ending::Broken(format!("{error:?}"))),
                Some(Ok(frame)) => self.take(&frame.into_data().unwrap_or_default()),
            }
        }
        (!self.events.is_empty()).then(|| self.events.drain(..).collect())
    }

    /// Reads until a comment that contains `text` has arrived, and returns it.
    pub async fn next_comment(&mut self, text: &str, deadline: Duration) -> String {
        self.read_until(deadline, text, |now| now.comments.iter().any(|comment| comment.contains(text))).await;
        match self.comments.iter().position(|comment| comment.contains(text)) {
            Some(at) => self.comments.remove(at),
            None => panic!("the response ended before the comment `{text}`: {}", self.account()),
        }
    }

    /// Waits for the end and returns its kind. Earlier events can still be taken.
    pub async fn ending(&mut self, deadline: Duration) -> Ending {
        self.read_until(deadline, "end", |_| false).await;
        self.ending.clone().expect("read to the end")
    }

    /// Waits for a clean end and returns the events not taken yet.
    ///
    /// # Panics
    /// Panics if there is no end before the deadline, or it is not clean.
    pub async fn expect_end(&mut self, deadline: Duration) -> Vec<Event> {
        let ending = self.ending(deadline).await;
        assert_eq!(ending, Ending::Clean, "{}", self.account());
        self.events.drain(..).collect()
    }

    /// Waits for an end that is not clean.
    pub async fn expect_cut(&mut self, deadline: Duration) {
        let ending = self.ending(deadline).await;
        assert_ne!(ending, Ending::Clean, "{}", self.account());
    }

    /// Reads until anything more has arrived, even a comment.
    ///
    /// # Panics
    /// Panics if nothing comes before the deadline, or the end does.
    pub async fn read_more(&mut self, deadline: Duration) {
        let before = self.total;
        self.read_until(deadline, "bytes", |now| now.total > before).await;
        assert!(self.total > before, "the response ended: {}", self.account());
    }

    /// Returns the first `count` bytes of the body.
    ///
    /// # Panics
    /// Panics if they do not come before the deadline, or are more than are kept.
    pub async fn read_bytes(&mut self, count: usize, deadline: Duration) -> Vec<u8> {
        assert!(count <= KEPT_BYTES, "only {KEPT_BYTES} bytes are kept");
        self.read_until(deadline, "bytes", |now| now.received.len() >= count).await;
        assert!(self.received.len() >= count, "the response ended early: {}", self.account());
        self.received[..count].to_vec()
    }

    /// Returns the whole body as text, once it has ended.
    pub async fn text(&mut self) -> String {
        self.ending(DEADLINE).await;
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Returns the number of body bytes read so far, as they were sent.
    pub fn total_bytes(&self) -> usize {
        self.total
    }

    /// Returns comments that have not been taken yet.
    pub fn comments(&self) -> &[String] {
        &self.comments
    }

    /// Returns every `retry:` read so far.
    pub fn retries(&self) -> &[Duration] {
        &self.retries
    }

    /// Whether the bytes read so far end in the middle of an event.
    pub fn is_inside_event(&self) -> bool {
        self.parser.is_inside_event()
    }

    /// Returns the last event id that a reconnecting event source would send now.
    pub fn last_event_id(&self) -> &str {
        self.parser.last_event_id()
    }

    async fn read_until(&mut self, deadline: Duration, what: &str, enough: impl Fn(&Self) -> bool) {
        let end = Instant::now() + deadline;
        while !enough(self) && self.ending.is_none() {
            // Cancel-safe: a frame is taken only when it is returned.
            match timeout_at(end, self.body.frame()).await {
                Err(_) => panic!("no {what} within {deadline:?}: {}", self.account()),
                Ok(None) => self.end(),
                Ok(Some(Err(error))) => self.ending = Some(Ending::Broken(format!("{error:?}"))),
                Ok(Some(Ok(frame))) => self.take(&frame.into_data().unwrap_or_default()),
            }
        }
    }

    fn end(&mut self) {
        self.ending = Some(match self.decoder.finish() {
            Ok(()) => Ending::Clean,
            Err(error) => Ending::Broken(format!("the content coding: {error}")),
        });
    }

    fn take(&mut self, bytes: &[u8]) {
        self.total += bytes.len();
        let bytes = match self.decoder.decode(bytes) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.ending = Some(Ending::Broken(format!("the content coding: {error}")));
                return;
            }
        };
        let room = KEPT_BYTES - self.received.len();
        self.received.extend_from_slice(&bytes[..bytes.len().min(room)]);
        for item in self.parser.push(&bytes) {
            match item {
                Item::Event(event) => self.events.push_back(event),
                Item::Comment(comment) => self.comments.push(comment),
                Item::Retry(retry) => self.retries.push(retry),
            }
        }
    }

    fn account(&self) -> String {
        let shown = &self.received[..self.received.len().min(2_000)];
        format!("status {}, {} bytes, {:?}: {:?}", self.status, self.total, self.ending, String::from_utf8_lossy(shown))
    }
}

/// The bytes kept of a body: enough for any exact comparison, and little for 2,000 clients.
const KEPT_BYTES: usize = 64 * 1024;
