//! What the writer is asked to do, and what it says of itself.
//!
//! Nothing in it grows without a bound: a stream that has changed stands here once, however often it changes; of streams
//! that were opened and closed only so many wait; and of those that were closed only so many bytes are held until they
//! are written, but for the last time, when all that is open is closed and no more will come.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::oneshot;

use super::codec::StoreKey;
use crate::stream::{EventStream, Offset, StoredStream};

/// A stream whose log is kept, as both sides know it.
pub struct StreamHandle {
    /// What it is stored under.
    pub key: StoreKey,
    /// The stream, for as long as somebody feeds it.
    pub stream: Weak<EventStream>,
    has_changed: AtomicBool,
    /// Whether it is the one that is stored under its key. Changed while the inbox is locked.
    is_owner: AtomicBool,
    until: AtomicU64,
}

/// The wish to go on with what is stored.
pub struct OpenRequest {
    /// Of which stream.
    pub handle: Arc<StreamHandle>,
    /// For what there is.
    pub reply: oneshot::Sender<Option<StoredStream>>,
}

/// What must be done in order.
pub enum Request {
    /// A stream begins.
    Open(OpenRequest),
    /// A stream that another has taken the place of is to be stored after all, from its log's start.
    Adopt(Arc<StreamHandle>),
    /// A stream has ended. `None` in place of it: too much waits already, it goes as if the process had been killed.
    Close(Arc<StreamHandle>, Option<Arc<EventStream>>),
}

/// What there is to do.
#[derive(Default)]
pub struct Work {
    /// In order.
    pub requests: Vec<Request>,
    /// In any order, after those.
    pub changed: Vec<Arc<StreamHandle>>,
    /// The last work there is.
    pub is_last: bool,
}

/// See the module.
#[derive(Default)]
pub struct Inbox {
    /// Held for adding to it and for taking it all.
    pending: Mutex<Pending>,
    wake: Condvar,
    problem: RwLock<Option<String>>,
}

#[derive(Default)]
struct Pending {
    work: Work,
    /// Whose the keys are: the streams that were opened or claimed last, and are not closed.
    owners: HashMap<StoreKey, Arc<StreamHandle>>,
    /// Of the streams that were closed.
    closed_bytes: usize,
    /// Whether all that is open is about to be closed.
    is_draining: bool,
}

impl StreamHandle {
    /// Of a stream whose log ends there and is not stored.
    pub fn new(key: StoreKey, stream: Weak<EventStream>, end: Offset) -> Self {
        let (has_changed, is_owner) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { key, stream, has_changed, is_owner, until: AtomicU64::new(end.0) }
    }

    /// Up to where it is stored.
    pub fn until(&self) -> Offset {
        Offset(self.until.load(Ordering::Relaxed))
    }

    /// Notes up to where it is stored.
    pub fn set_persisted_until(&self, until: Offset) {
        self.until.store(until.0, Ordering::Relaxed);
    }

    /// What changes from now on is another change. To be called before the log is looked at.
    pub fn clear_changed(&self) {
        self.has_changed.store(false, Ordering::SeqCst);
    }

    /// Whether it is the one that is stored under its key.
    pub fn is_owner(&self) -> bool {
        self.is_owner.load(Ordering::SeqCst)
    }
}

impl Inbox {
    /// A stream has changed. An atomic operation, mostly.
    pub fn changed(&self, handle: &Arc<StreamHandle>) {
        // Who becomes the owner later is written then.
        if !handle.has_changed.swap(true, Ordering::SeqCst) && handle.is_owner() {
            self.pending.lock().work.changed.push(handle.clone());
            self.wake.notify_one();
        }
    }

    /// A stream begins. Returns whether it can be kept: not while too many wait for a disk that stands still, since
    /// clients that leave again make streams come and go. Then its asker is told at once that there is nothing.
    pub fn open(&self, request: OpenRequest) -> bool {
        let mut pending = self.pending.lock();
        let is_accepted = pending.set_owner(&request.handle);
        if is_accepted {
            pending.work.requests.push(Request::Open(request));
            self.wake.notify_one();
        }
        is_accepted
    }

    /// A stream that is open, and not closed, is the one to be stored under its key. An atomic operation, mostly. Returns
    /// whether it is: as with opening, not while too many wait.
    pub fn claim(&self, handle: &Arc<StreamHandle>) -> bool {
        if handle.is_owner() {
            return true;
        }
        let mut pending = self.pending.lock();
        let is_accepted = pending.set_owner(handle);
        if is_accepted {
            pending.work.requests.push(Request::Adopt(handle.clone()));
            self.wake.notify_one();
        }
        is_accepted
    }

    /// A stream has ended.
    pub fn close(&self, handle: &Arc<StreamHandle>, stream: Arc<EventStream>) {
        let bytes = stream.log().bytes();
        let mut pending = self.pending.lock();
        if !handle.is_owner() {
            return;
        }
        pending.owners.remove(&handle.key);
        handle.is_owner.store(false, Ordering::SeqCst);
        let is_held = pending.is_draining || pending.closed_bytes + bytes <= MAX_CLOSED_BYTES;
        let stream = is_held.then_some(stream);
        pending.closed_bytes += stream.as_ref().map_or(0, |_| bytes);
        pending.work.requests.push(Request::Close(handle.clone(), stream));
        self.wake.notify_one();
    }

    /// All that is open is about to be closed, and none of it is to be cut off.
    pub fn drain(&self) {
        self.pending.lock().is_draining = true;
    }

    /// There will be no more work.
    pub fn stop(&self) {
        self.pending.lock().work.is_last = true;
        self.wake.notify_one();
    }

    /// Waits for work, at most until `deadline`: for requests at once, for changes not before `commit`.
    pub fn wait_for_work(&self, commit: Instant, deadline: Instant) -> Work {
        let mut pending = self.pending.lock();
        loop {
            let now = Instant::now();
            let has_changes = !pending.work.changed.is_empty();
            let is_urgent = !pending.work.requests.is_empty() || pending.work.is_last;
            if is_urgent || (has_changes && now >= commit) || now >= deadline {
                pending.closed_bytes = 0;
                return std::mem::take(&mut pending.work);
            }
            let until = if has_changes { commit.min(deadline) } else { deadline };
            self.wake.wait_until(&mut pending, until);
        }
    }

    /// What is wrong with the store.
    pub fn problem(&self) -> Option<String> {
        self.problem.read().clone()
    }

    /// Says what is wrong with the store. Returns whether that is new.
    pub fn set_problem(&self, problem: Option<String>) -> bool {
        let mut current = self.problem.write();
        let is_new = *current != problem;
        *current = problem;
        is_new
    }
}

impl Pending {
    /// Makes a stream the owner of its key, unless too much waits.
    fn set_owner(&mut self, handle: &Arc<StreamHandle>) -> bool {
        if self.work.requests.len() >= MAX_REQUESTS {
            return false;
        }
        if let Some(before) = self.owners.insert(handle.key, handle.clone()) {
            before.is_owner.store(false, Ordering::SeqCst);
        }
        handle.is_owner.store(true, Ordering::SeqCst);
        true
    }
}

impl fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({:?})", self.key)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

/// Most bytes of the logs of streams that were closed and wait to be written.
const MAX_CLOSED_BYTES: usize = 64 << 20;

/// Openings and closings that wait before no more streams are taken on; what was taken on can always be closed.
const MAX_REQUESTS: usize = 100_000;

#[cfg(test)]
mod tests;
