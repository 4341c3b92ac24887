//! For what a task waits for beside its work: polled only when it has asked for it.
//!
//! Thousands of tasks are woken for each event. What else each of them waits for (watches, timers, the client's leaving)
//! would be most of what it does besides writing, if it were polled every time. So it is polled with a waker of its own,
//! which wakes the task and leaves word. Nothing is lost: word that is left during a poll is found at the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

/// See the module.
#[derive(Debug, Default)]
pub struct Aside(Option<Arc<Note>>);

#[derive(Debug)]
struct Note {
    is_left: AtomicBool,
    task: Waker,
}

impl Aside {
    /// The waker to poll with, if it is time: the first time, when word has been left, and when the task has changed.
    pub fn asked(&mut self, cx: &Context<'_>) -> Option<Waker> {
        let note = match &self.0 {
            Some(note) if note.task.will_wake(cx.waker()) => {
                if !note.is_left.load(Ordering::Acquire) {
                    return None;
                }
                note.is_left.store(false, Ordering::Release);
                note
            }
            _ => self.0.insert(Arc::new(Note { is_left: AtomicBool::new(false), task: cx.waker().clone() })),
        };
        Some(note.clone().into())
    }
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_left.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn it_is_time_at_first_and_whenever_word_has_been_left() {
        let task = Waker::from(Arc::new(Task));
        let (mut aside, cx) = (Aside::default(), Context::from_waker(&task));

        let waker = aside.asked(&cx).expect("the first time");
        assert!(aside.asked(&cx).is_none());
        waker.wake_by_ref();
        waker.wake();
        assert!(aside.asked(&cx).is_some());
        assert!(aside.asked(&cx).is_none());
    }
}
