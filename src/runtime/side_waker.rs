//! Wakers for the secondary wait conditions of a task, which are polled only after one of them fired.
//!
//! Each event wakes thousands of tasks. Each of them also waits for watches, timers and the client's disconnect.
//! Polling all of these at every wake-up would cost more than everything but the write. So they are polled with a waker
//! of their own, which sets a flag and wakes the task. They are polled again only if the flag is set, so a wake-up for
//! a new event costs one load. No wake-up is lost: a flag that is set during a poll is seen at the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Wake, Waker};

/// Tells a task when its secondary wait conditions are due to be polled.
#[derive(Debug, Default)]
pub struct SideWaker<S: WakeFlag = Arc<AtomicU8>> {
    flag: S,
    /// The waker of the task, and the waker that sets the flag for that task.
    registered: Option<(Waker, Waker)>,
}

/// The home of a flag. Several side wakers may share one flag; some of their polls are then spurious.
pub trait WakeFlag: Clone + Send + Sync + 'static {
    /// Returns the flag bits; 0 at first.
    fn bits(&self) -> &AtomicU8;
}

impl WakeFlag for Arc<AtomicU8> {
    fn bits(&self) -> &AtomicU8 {
        self
    }
}

#[derive(Debug)]
struct FlagWaker<S> {
    flag: S,
    task: Waker,
}

/// The waker has fired.
const SET: u8 = 1;

/// The waker does not wake the task.
const SUPPRESSED: u8 = 2;

impl<S: WakeFlag> SideWaker<S> {
    /// Creates a side waker that sets this flag.
    pub fn with_flag(flag: S) -> Self {
        Self { flag, registered: None }
    }

    /// Returns the waker to poll with if a poll is due: at the first call, after the waker fired, and when the task has
    /// changed.
    pub fn poll_due(&mut self, cx: &Context<'_>) -> Option<&Waker> {
        if self.registered.as_ref().is_some_and(|(task, _)| task.will_wake(cx.waker())) {
            let state = self.flag.bits();
            // Load first: usually the flag is clear, and a write costs more.
            if state.load(Ordering::Acquire) == 0 || state.swap(0, Ordering::AcqRel) & SET == 0 {
                return None;
            }
        } else {
            self.flag.bits().store(0, Ordering::Release);
            let waker = FlagWaker { flag: self.flag.clone(), task: cx.waker().clone() };
            self.registered = Some((cx.waker().clone(), Arc::new(waker).into()));
        }
        self.registered.as_ref().map(|(_, waker)| waker)
    }

    /// Makes the next [`Self::poll_due`] return a waker, whether or not the flag is set.
    pub fn rearm(&self) {
        self.flag.bits().fetch_or(SET, Ordering::AcqRel);
    }

    /// Suppresses wake-ups until the next [`Self::poll_due`], which must happen before this poll returns. A flag that
    /// is set meanwhile is seen there.
    pub fn suppress_wake(&self) {
        self.flag.bits().fetch_or(SUPPRESSED, Ordering::AcqRel);
    }
}

impl<S: WakeFlag> Wake for FlagWaker<S> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.flag.bits().fetch_or(SET, Ordering::AcqRel) & SUPPRESSED == 0 {
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
    fn a_poll_is_due_at_first_and_after_each_wake() {
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
    fn a_poll_is_due_once_after_a_rearm_and_the_waker_stays_the_same() {
        let task = Waker::from(Arc::new(Task::default()));
        let (mut side_waker, cx): (SideWaker, _) = (SideWaker::default(), Context::from_waker(&task));
        let waker = side_waker.poll_due(&cx).expect("the first time").clone();
        assert!(side_waker.poll_due(&cx).is_none());

        side_waker.rearm();

        assert!(side_waker.poll_due(&cx).expect("rearmed").will_wake(&waker));
        assert!(side_waker.poll_due(&cx).is_none());
    }

    #[test]
    fn a_suppressed_wake_does_not_wake_the_task_but_makes_a_poll_due() {
        let task = Arc::new(Task::default());
        let waker = Waker::from(task.clone());
        let (mut side_waker, cx): (SideWaker, _) = (SideWaker::default(), Context::from_waker(&waker));
        let flag_waker = side_waker.poll_due(&cx).expect("the first time").clone();

        side_waker.suppress_wake();
        flag_waker.wake_by_ref();
        assert!(side_waker.poll_due(&cx).is_some());
        assert_eq!(task.0.load(Ordering::Relaxed), 0);

        flag_waker.wake_by_ref();
        assert_eq!(task.0.load(Ordering::Relaxed), 1, "suppressed only until the poll");
        side_waker.suppress_wake();
        assert!(side_waker.poll_due(&cx).is_some(), "woken before the suppression");
        side_waker.suppress_wake();
        assert!(side_waker.poll_due(&cx).is_none());
        flag_waker.wake();
        assert_eq!(task.0.load(Ordering::Relaxed), 2);
    }
}
