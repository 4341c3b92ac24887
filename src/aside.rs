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
pub struct Aside(Option<Arc<Note>>);

#[derive(Debug)]
struct Note {
    state: AtomicU8,
    task: Waker,
}

/// Word has been left.
const LEFT: u8 = 1;

/// The task is about to ask by itself.
const MUTE: u8 = 2;

impl Aside {
    /// The waker to poll with, if it is time: the first time, when word has been left, and when the task has changed.
    pub fn asked(&mut self, cx: &Context<'_>) -> Option<Waker> {
        let note = match &self.0 {
            Some(note) if note.task.will_wake(cx.waker()) => {
                // Looked at first: most of the time there is nothing, and writing is dearer.
                if note.state.load(Ordering::Acquire) == 0 || note.state.swap(0, Ordering::AcqRel) & LEFT == 0 {
                    return None;
                }
                note
            }
            _ => self.0.insert(Arc::new(Note { state: AtomicU8::new(0), task: cx.waker().clone() })),
        };
        Some(note.clone().into())
    }

    /// From now on word wakes nobody, because the task is about to ask for it: to be asked before the poll returns.
    pub fn mute(&self) {
        if let Some(note) = &self.0 {
            note.state.fetch_or(MUTE, Ordering::AcqRel);
        }
    }
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(LEFT, Ordering::AcqRel) & MUTE == 0 {
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
        let (mut aside, cx) = (Aside::default(), Context::from_waker(&task));

        let waker = aside.asked(&cx).expect("the first time");
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
        let (mut aside, cx) = (Aside::default(), Context::from_waker(&waker));
        let word = aside.asked(&cx).expect("the first time");

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
