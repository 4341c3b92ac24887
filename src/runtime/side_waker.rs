//! For what a task waits for beside its work: polled only when it has asked for it.
//!
//! Thousands of tasks are woken for each event. What else each of them waits for (watches, timers, the client's leaving)
//! would be most of what it does besides writing, if it were polled every time. So it is polled with a waker of its own,
//! which wakes the task and leaves waker_of_flag. Nothing is lost: word that is left during a poll is found at the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Wake, Waker};

/// See the module.
#[derive(Debug, Default)]
pub struct SideWaker<S: WakeFlag = Arc<AtomicU8>> {
    flag: S,
    /// The task that was told of, and the waker that leaves word for it.
    registered: Option<(Waker, Waker)>,
}

/// Where word is left. A flag may be shared, at the price of looking for nothing now and then.
pub trait WakeFlag: Clone + Send + Sync + 'static {
    /// What is on it; nothing at first.
    fn state(&self) -> &AtomicU8;
}

impl WakeFlag for Arc<AtomicU8> {
    fn state(&self) -> &AtomicU8 {
        self
    }
}

#[derive(Debug)]
struct FlagWaker<S> {
    flag: S,
    task: Waker,
}

/// Word has been left.
const SET: u8 = 1;

/// The task is about to ask by itself.
const SUPPRESSED: u8 = 2;

impl<S: WakeFlag> SideWaker<S> {
    /// Word is left on this flag.
    pub fn with_flag(flag: S) -> Self {
        Self { flag, registered: None }
    }

    /// The waker to poll with, if it is time: the first time, when word has been left, and when the task has changed.
    pub fn poll_due(&mut self, cx: &Context<'_>) -> Option<&Waker> {
        if self.registered.as_ref().is_some_and(|(task, _)| task.will_wake(cx.waker())) {
            let state = self.flag.state();
            // Looked at first: most of the time there is nothing, and writing is dearer.
            if state.load(Ordering::Acquire) == 0 || state.swap(0, Ordering::AcqRel) & SET == 0 {
                return None;
            }
        } else {
            self.flag.state().store(0, Ordering::Release);
            let waker = FlagWaker { flag: self.flag.clone(), task: cx.waker().clone() };
            self.registered = Some((cx.waker().clone(), Arc::new(waker).into()));
        }
        self.registered.as_ref().map(|(_, waker)| waker)
    }

    /// Has it be time at the next registered, whether or not word is left.
    pub fn rearm(&mut self) {
        self.registered = None;
    }

    /// From now on word wakes nobody, because the task is about to ask for it: to be asked before the poll returns.
    pub fn suppress_wake(&self) {
        self.flag.state().fetch_or(SUPPRESSED, Ordering::AcqRel);
    }
}

impl<S: WakeFlag> Wake for FlagWaker<S> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.flag.state().fetch_or(SET, Ordering::AcqRel) & SUPPRESSED == 0 {
            self.task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_is_time_at_first_and_whenever_word_has_been_left() {
        let task = Waker::from(Arc::new(Task::default()));
        let (mut side_waker, cx): (SideWaker, _) = (SideWaker::default(), Context::from_waker(&task));

        let waker = side_waker.poll_due(&cx).expect("the first time").clone();
        assert!(side_waker.poll_due(&cx).is_none());
        waker.wake_by_ref();
        waker.wake();
        assert!(side_waker.poll_due(&cx).is_some());
        assert!(side_waker.poll_due(&cx).is_none());
    }

    #[test]
    fn word_left_while_it_is_mute_wakes_nobody_and_is_found() {
        let task = Arc::new(Task::default());
        let waker = Waker::from(task.clone());
        let (mut side_waker, cx): (SideWaker, _) = (SideWaker::default(), Context::from_waker(&waker));
        let waker_of_flag = side_waker.poll_due(&cx).expect("the first time").clone();

        side_waker.suppress_wake();
        waker_of_flag.wake_by_ref();
        assert!(side_waker.poll_due(&cx).is_some());
        assert_eq!(task.0.load(Ordering::Relaxed), 0);

        waker_of_flag.wake_by_ref();
        assert_eq!(task.0.load(Ordering::Relaxed), 1, "only until it is asked");
        side_waker.suppress_wake();
        assert!(side_waker.poll_due(&cx).is_some(), "word from before");
        side_waker.suppress_wake();
        assert!(side_waker.poll_due(&cx).is_none());
        waker_of_flag.wake();
        assert_eq!(task.0.load(Ordering::Relaxed), 2);
    }
}
