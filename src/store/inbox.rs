//! The queue of work for the writer, and the problem that the writer reports.
//!
//! Everything is bounded. A changed stream is queued once, however often it changes. The number of queued openings,
//! closings and questions is limited, and so are the bytes of closed logs that wait to be written. The exception is a drain: then all
//! open streams are closed, and no more will follow.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::oneshot;

use crate::stream::{EventStream, Offset, OpeningRequest, StoredRequest, StoredStream, StreamIdentity};

/// A persisted stream, as the stream and the writer share it.
pub(super) struct StreamHandle {
    /// The stream's identity, under which it is stored.
    pub key: StreamIdentity,
    /// The name of the stream's route, which owns the stream's part of the store.
    pub route: Arc<str>,
    /// The request that opened the stream, if an equal one is to find it.
    pub request: Option<OpeningRequest>,
    /// The stream, as long as something feeds it.
    pub stream: Weak<EventStream>,
    has_changed: AtomicBool,
    /// Whether the stream is stored: accepted and not closed. Changed only while the inbox is locked.
    is_open: AtomicBool,
    persisted_until: AtomicU64,
}

/// A request to open the stored state of a stream.
pub(super) struct OpenRequest {
    /// The stream.
    pub handle: Arc<StreamHandle>,
    /// Receives the stored state, if any.
    pub reply: oneshot::Sender<Option<StoredStream>>,
}

/// A question for the stream that a request has opened.
pub(super) struct FindRequest {
    /// The key of the request.
    pub key: [u8; 32],
    /// Receives the stream, if there is one.
    pub reply: oneshot::Sender<Option<StoredRequest>>,
}

/// Work that must be done in order.
pub(super) enum Request {
    /// A stream was opened.
    Open(OpenRequest),
    /// A stream was closed. Without the stream itself, too much is queued: its unwritten events are lost, as if the
    /// process had been killed.
    Close(Arc<StreamHandle>, Option<Arc<EventStream>>),
}

/// The queued work.
#[derive(Default)]
pub(super) struct Work {
    /// Requests, in order.
    pub requests: Vec<Request>,
    /// Questions, in any order. Answered after the requests.
    pub questions: Vec<FindRequest>,
    /// Changed streams, in any order. Written after the requests.
    pub changed: Vec<Arc<StreamHandle>>,
    /// Whether no more work will follow.
    pub is_last: bool,
}

/// The queue between streams and the writer.
#[derive(Default)]
pub(super) struct Inbox {
    /// Locked to add work or to take all of it.
    pending: Mutex<Pending>,
    wake: Condvar,
    problem: RwLock<Option<String>>,
}

#[derive(Default)]
struct Pending {
    work: Work,
    /// Bytes in the logs of queued closed streams, of each route.
    closed_bytes: HashMap<Arc<str>, usize>,
    /// Whether the gateway is about to close all streams.
    is_draining: bool,
}

impl StreamHandle {
    /// Makes a handle of a stream whose log ends at `end` and is not stored.
    pub(super) fn new(key: StreamIdentity, route: Arc<str>, stream: Weak<EventStream>, end: Offset) -> Self {
        let (has_changed, is_open) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { key, route, request: None, stream, has_changed, is_open, persisted_until: AtomicU64::new(end.0) }
    }

    /// Adds the request that opened the stream.
    pub(super) fn with_request(self, request: Option<OpeningRequest>) -> Self {
        Self { request, ..self }
    }

    /// Returns the offset up to which the log is stored.
    pub(super) fn persisted_until(&self) -> Offset {
        Offset(self.persisted_until.load(Ordering::Relaxed))
    }

    /// Records the offset up to which the log is stored.
    pub(super) fn set_persisted_until(&self, persisted_until: Offset) {
        self.persisted_until.store(persisted_until.0, Ordering::Relaxed);
    }

    /// Clears the mark of change. Must be called before reading the log, so that a later change is queued again.
    pub(super) fn clear_changed(&self) {
        self.has_changed.store(false, Ordering::SeqCst);
    }

    /// Whether the stream is stored: accepted and not closed.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }
}

impl Inbox {
    /// Queues a changed stream. Usually a single atomic operation.
    pub(super) fn notify_changed(&self, handle: &Arc<StreamHandle>) {
        if handle.is_open() && !handle.has_changed.swap(true, Ordering::SeqCst) {
            self.pending.lock().work.changed.push(handle.clone());
            self.wake.notify_one();
        }
    }

    /// Queues the opening of a stream. Returns false, and drops the reply channel, if too many requests are queued:
    /// clients that come and go could otherwise fill memory while the disk hangs.
    pub(super) fn open(&self, request: OpenRequest) -> bool {
        let mut pending = self.pending.lock();
        let is_accepted = pending.work.requests.len() < MAX_REQUESTS;
        if is_accepted {
            request.handle.is_open.store(true, Ordering::SeqCst);
            pending.work.requests.push(Request::Open(request));
            self.wake.notify_one();
        }
        is_accepted
    }

    /// Queues a question. Returns false, and drops the reply channel, if too many are queued.
    pub(super) fn ask(&self, question: FindRequest) -> bool {
        let mut pending = self.pending.lock();
        let is_accepted = pending.work.questions.len() < MAX_REQUESTS;
        if is_accepted {
            pending.work.questions.push(question);
            self.wake.notify_one();
        }
        is_accepted
    }

    /// Queues the closing of a stream. Has no effect on one that is not stored.
    pub(super) fn close(&self, handle: &Arc<StreamHandle>, stream: Arc<EventStream>) {
        let bytes = stream.log().bytes();
        let mut pending = self.pending.lock();
        if !handle.is_open.swap(false, Ordering::SeqCst) {
            return;
        }
        let stream = pending.has_room_for(&handle.route, bytes).then_some(stream);
        if stream.is_some() {
            *pending.closed_bytes.entry(handle.route.clone()).or_default() += bytes;
        }
        pending.work.requests.push(Request::Close(handle.clone(), stream));
        self.wake.notify_one();
    }

    /// Announces that all open streams will be closed. None of them is dropped for lack of room.
    pub(super) fn drain(&self) {
        self.pending.lock().is_draining = true;
    }

    /// Announces that no more work will follow.
    pub(super) fn stop(&self) {
        self.pending.lock().work.is_last = true;
        self.wake.notify_one();
    }

    /// Waits for work until `deadline`. Returns requests and questions at once, and changes not before `commit`.
    pub(super) fn wait_for_work(&self, commit: Instant, deadline: Instant) -> Work {
        let mut pending = self.pending.lock();
        loop {
            let now = Instant::now();
            let has_changes = !pending.work.changed.is_empty();
            let is_urgent = !pending.work.requests.is_empty() || pending.work.is_last;
            if is_urgent || (has_changes && now >= commit) || now >= deadline {
                pending.closed_bytes.clear();
                return std::mem::take(&mut pending.work);
            }
            if !pending.work.questions.is_empty() {
                // Without the changes: they are written together with those that follow soon.
                return Work { questions: std::mem::take(&mut pending.work.questions), ..Work::default() };
            }
            let wake_at = if has_changes { commit.min(deadline) } else { deadline };
            self.wake.wait_until(&mut pending, wake_at);
        }
    }

    /// Returns the problem that the writer reported last.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.read().clone()
    }

    /// Reports a problem, or `None` if the store is usable. Returns whether the report differs from the previous one.
    pub(super) fn set_problem(&self, problem: Option<String>) -> bool {
        let mut current = self.problem.write();
        let is_new = *current != problem;
        *current = problem;
        is_new
    }
}

impl Pending {
    /// Returns true if the log of a closed stream of this route may wait. One route leaves room for others.
    fn has_room_for(&self, route: &Arc<str>, bytes: usize) -> bool {
        let of_route = self.closed_bytes.get(route).copied().unwrap_or_default();
        let of_all: usize = self.closed_bytes.values().sum();
        let is_within_share = of_route == 0 || of_route + bytes <= MAX_ROUTE_CLOSED_BYTES;
        self.is_draining || (is_within_share && of_all + bytes <= MAX_CLOSED_BYTES)
    }
}

impl fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamHandle({:?})", self.key)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

/// Maximum bytes in the logs of closed streams that wait to be written.
const MAX_CLOSED_BYTES: usize = 64 << 20;

/// Maximum of these bytes of one route, except for a single log that is larger.
const MAX_ROUTE_CLOSED_BYTES: usize = 32 << 20;

/// Maximum number of queued requests before further openings are refused, and of questions. A stream that was accepted
/// can always be closed.
const MAX_REQUESTS: usize = 100_000;

#[cfg(test)]
mod tests;
