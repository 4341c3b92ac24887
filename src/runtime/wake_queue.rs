//! The queue in which other threads leave what a worker has to wake.
//!
//! A task that another thread wakes goes through its worker's lock and wakes the worker, thousands of them one by one. So
//! the other thread leaves a single entry, and the worker wakes its own tasks, in parts and between its other work.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::task::yield_now;

/// Waiting tasks of one worker, which it wakes in parts.
pub trait WakeParts: Send + Sync {
    /// Wakes some of the tasks. Returns true if more remain.
    fn wake_some(&self) -> bool;
}

/// The queue of one worker.
///
/// It has no bound of its own: whoever adds an entry must not add it again before its [`WakeParts::wake_some`] has
/// returned false.
#[derive(Default)]
pub struct WakeQueue {
    /// Locked for a single step, never while anything is woken.
    entries: Mutex<VecDeque<Arc<dyn WakeParts>>>,
    worker: AtomicWaker,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<WakeQueue>>> = const { RefCell::new(None) };
}

impl WakeQueue {
    /// Returns the queue of the worker that calls this, or `None` on a thread that is not a worker.
    pub fn current() -> Option<Weak<Self>> {
        CURRENT.with_borrow(|current| current.as_ref().map(Arc::downgrade))
    }

    /// Returns true if this is the queue of the worker that calls this, or `None` on a thread that is not a worker.
    pub fn is_current(queue: Option<&Weak<Self>>) -> bool {
        CURRENT.with_borrow(|current| current.as_ref().map(Arc::as_ptr) == queue.map(Weak::as_ptr))
    }

    /// Makes this the queue of the current thread.
    pub fn make_current(self: Arc<Self>) {
        CURRENT.set(Some(self));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Wakes what is in the queue, as the worker does.
    #[cfg(test)]
    pub(crate) fn wake_all(&self) {
        while let Some(entry) = { self.entries.lock().pop_front() } {
            while entry.wake_some() {}
        }
    }

    /// Adds an entry, and wakes the worker.
    pub fn push(&self, entry: Arc<dyn WakeParts>) {
        self.entries.lock().push_back(entry);
        self.worker.wake();
    }

    /// Wakes what is in the queue, until dropped. Must be polled on the worker. The entries take turns, and the worker runs
    /// other tasks between two parts.
    pub async fn run(&self) {
        loop {
            let entry = poll_fn(|cx| {
                self.worker.register(cx.waker());
                self.entries.lock().pop_front().map_or(Poll::Pending, Poll::Ready)
            })
            .await;
            if entry.wake_some() {
                self.entries.lock().push_back(entry);
            }
            yield_now().await;
        }
    }
}

impl fmt::Debug for WakeQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeQueue").field("entries", &self.entries.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// An entry that has so many parts.
    struct Parts {
        name: char,
        left: AtomicUsize,
        log: Arc<Mutex<String>>,
    }

    impl WakeParts for Parts {
        fn wake_some(&self) -> bool {
            self.log.lock().push(self.name);
            self.left.fetch_sub(1, Ordering::Relaxed) > 1
        }
    }

    #[tokio::test]
    async fn entries_take_turns_and_each_is_woken_to_its_end() {
        let (queue, log) = (Arc::new(WakeQueue::default()), Arc::new(Mutex::new(String::new())));
        for (name, parts) in [('a', 3), ('b', 1), ('c', 2)] {
            queue.push(Arc::new(Parts { name, left: parts.into(), log: log.clone() }));
        }

        tokio::select! {
            biased;
            () = queue.run() => {}
            () = async { while log.lock().len() < 6 { yield_now().await; } } => {}
        }

        assert_eq!(*log.lock(), "abcaca");
        assert!(queue.entries.lock().is_empty());
    }
}
