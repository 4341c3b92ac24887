//! For what a task waits for beside its work: polled only when it has asked for it.
//!
//! Thousands of tasks are woken for each event. What else each of them waits for (watches, timers, the client's leaving)
//! would be most of what it does besides writing, if it were polled every time. So it is polled with a waker of its own,
//! which wakes the task and leaves word. Nothing is lost: word that is left during a poll is found at the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Wake, Waker};

/// See the module.
#[derive(Debug, Default)]
pub struct SideWaker<S: WakeFlag = Arc<AtomicU8>> {
    slate: S,
    /// The task that was told of, and the waker that leaves word for it.
    asking: Option<(Waker, Waker)>,
}

/// Where word is left. A slate may be shared, at the price of looking for nothing now and then.
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
    slate: S,
    task: Waker,
}

/// Word has been left.
const LEFT: u8 = 1;

/// The task is about to ask by itself.
const MUTE: u8 = 2;

impl<S: WakeFlag> SideWaker<S> {
    /// Word is left on this slate.
    pub fn on(slate: S) -> Self {
        Self { slate, asking: None }
    }

    /// The waker to poll with, if it is time: the first time, when word has been left, and when the task has changed.
    pub fn asked(&mut self, cx: &Context<'_>) -> Option<&Waker> {
        if self.asking.as_ref().is_some_and(|(task, _)| task.will_wake(cx.waker())) {
            let state = self.slate.state();
            // Looked at first: most of the time there is nothing, and writing is dearer.
            if state.load(Ordering::Acquire) == 0 || state.swap(0, Ordering::AcqRel) & LEFT == 0 {
                return None;
            }
        } else {
            self.slate.state().store(0, Ordering::Release);
            let note = FlagWaker { slate: self.slate.clone(), task: cx.waker().clone() };
            self.asking = Some((cx.waker().clone(), Arc::new(note).into()));
        }
        self.asking.as_ref().map(|(_, word)| word)
    }

    /// Has it be time at the next asking, whether or not word is left.
    pub fn renew(&mut self) {
        self.asking = None;
    }

    /// From now on word wakes nobody, because the task is about to ask for it: to be asked before the poll returns.
    pub fn mute(&self) {
        self.slate.state().fetch_or(MUTE, Ordering::AcqRel);
    }
}

impl<S: WakeFlag> Wake for FlagWaker<S> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.slate.state().fetch_or(LEFT, Ordering::AcqRel) & MUTE == 0 {
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
        let (mut aside, cx): (SideWaker, _) = (SideWaker::default(), Context::from_waker(&task));

        let waker = aside.asked(&cx).expect("the first time").clone();
        assert!(aside.asked(&cx).is_none());
        waker.wake_by_ref();
        waker.wake();
        assert!(aside.asked(&cx).is_some());
        assert!(aside.asked(&cx).is_none());
    }

    #[test]
    fn word_left_while_it_is_mute_wakes_nobody_and_is_found() {
        let task = Arc::new(Task::default());
        let waker = Waker::from(task.clone());
        let (mut aside, cx): (SideWaker, _) = (SideWaker::default(), Context::from_waker(&waker));
        let word = aside.asked(&cx).expect("the first time").clone();

        aside.mute();
        word.wake_by_ref();
        assert!(aside.asked(&cx).is_some());
        assert_eq!(task.0.load(Ordering::Relaxed), 0);

        word.wake_by_ref();
        assert_eq!(task.0.load(Ordering::Relaxed), 1, "only until it is asked");
        aside.mute();
        assert!(aside.asked(&cx).is_some(), "word from before");
        aside.mute();
        assert!(aside.asked(&cx).is_none());
        word.wake();
        assert_eq!(task.0.load(Ordering::Relaxed), 2);
    }
}
