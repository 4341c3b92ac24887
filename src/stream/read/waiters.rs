//! The readers of a stream: their wakers, their positions and their clients.
//!
//! Each worker's readers are a group, and each reader owns a slot for as long as it reads. The thread that appends wakes its
//! own readers, and tells each other worker once, which then wakes its own. So what an append costs that thread does not
//! grow with the readers of others. This file does not know what there is to read.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::reader_info::ReaderInfo;
use super::waiter_group::{WaiterGroup, WaiterHandle, WakeSweep};
use crate::stream::log::Offset;

/// The set of a stream's readers. It has at most one group for each worker and one for all other threads, and keeps them.
#[derive(Debug, Default)]
pub struct WaiterSet(ArcSwap<Vec<Arc<WaiterGroup>>>);

impl WaiterSet {
    /// Registers a reader at this position. Must be called on the worker that serves it.
    pub fn register(&self, next: Offset, read: u64) -> WaiterHandle {
        let group = self.group_of_this_thread().unwrap_or_else(|| self.add_group());
        group.register(next, read)
    }

    /// Wakes all waiting readers, those of other workers soon.
    pub fn wake_all(&self) {
        let mut sweep = WakeSweep::default();
        self.begin_sweep(&mut sweep);
        self.finish_sweep(&mut sweep);
    }

    /// Starts to wake the readers of this thread from the sweep's current position, and tells the other workers to wake
    /// theirs.
    pub fn begin_sweep(&self, sweep: &mut WakeSweep) {
        let mut chunks = 0;
        for group in &**self.0.load() {
            match group.is_of_this_thread() {
                true => chunks = group.chunks(),
                false => group.wake_remotely(),
            }
        }
        sweep.begin(chunks);
    }

    /// Wakes all readers of this thread that the sweep has not reached yet.
    pub fn finish_sweep(&self, sweep: &mut WakeSweep) {
        while !sweep.is_done() {
            self.wake_some(sweep);
        }
    }

    /// Continues a sweep: wakes the waiting readers of the next chunks, about 256 slots.
    pub fn wake_some(&self, sweep: &mut WakeSweep) {
        match self.group_of_this_thread() {
            Some(group) => group.continue_sweep(sweep),
            None => sweep.begin(0),
        }
    }

    fn group_of_this_thread(&self) -> Option<Arc<WaiterGroup>> {
        self.0.load().iter().find(|group| group.is_of_this_thread()).cloned()
    }

    fn add_group(&self) -> Arc<WaiterGroup> {
        let new = WaiterGroup::of_this_thread();
        self.0.rcu(|groups| {
            let mut groups = Vec::clone(groups);
            // Threads that are no workers may add theirs at the same time.
            if !groups.iter().any(|group| group.is_of_this_thread()) {
                groups.push(new.clone());
            }
            groups
        });
        self.group_of_this_thread().expect("groups are never removed")
    }

    /// Removes a reader and frees its slot.
    pub fn unregister(&self, handle: &WaiterHandle) {
        handle.unregister();
    }

    /// Calls `ask` with the number of events read by each reader. Samples about `most` readers at most, evenly spaced, in any
    /// order.
    pub fn sample(&self, most: usize, mut ask: impl FnMut(u64)) {
        let groups = self.0.load();
        let present: usize = groups.iter().map(|group| group.readers()).sum();
        let step = present.div_ceil(most.max(1)).max(1);
        groups.iter().for_each(|group| group.sample(step, &mut ask));
    }

    /// Returns the number of events read by the reader that has read the fewest. `None` if there is no reader.
    pub fn least_read(&self) -> Option<u64> {
        self.0.load().iter().filter_map(|group| group.least_read()).min()
    }

    /// Returns the `most` readers that are furthest behind, the furthest first.
    pub fn furthest_behind(&self, most: usize) -> Vec<ReaderInfo> {
        let mut behind: Vec<_> = self.0.load().iter().flat_map(|group| group.furthest_behind(most)).collect();
        behind.sort_by_key(|reader| reader.next);
        behind.truncate(most);
        behind
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::runtime::wake_queue::WakeQueue;

    #[derive(Default)]
    struct WakeCounter(AtomicUsize);

    impl Wake for WakeCounter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waiting_reader_is_woken_once() {
        let (waiters, wakes) = (WaiterSet::default(), Arc::new(WakeCounter::default()));
        let slots: Vec<_> = (0..1000).map(|_| waiters.register(Offset(0), 0)).collect();
        slots.iter().for_each(|handle| handle.register_waker(&wakes.clone().into()));

        waiters.wake_all();
        waiters.wake_all();

        assert_eq!(wakes.0.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn a_sweep_wakes_all_readers_even_if_more_join_meanwhile() {
        let (waiters, wakes) = (WaiterSet::default(), Arc::new(WakeCounter::default()));
        let wait = |count| {
            let slots: Vec<_> = (0..count).map(|_| waiters.register(Offset(0), 0)).collect();
            slots.iter().for_each(|handle| handle.register_waker(&wakes.clone().into()));
            slots
        };
        let mut sweep = WakeSweep::default();
        waiters.begin_sweep(&mut sweep);
        assert!(sweep.is_done(), "nobody is there");
        let early = wait(3000);
        waiters.begin_sweep(&mut sweep);
        (0..5).for_each(|_| waiters.wake_some(&mut sweep));
        assert!(wakes.0.load(Ordering::Relaxed) < 3000 && !sweep.is_done());

        // An append in the middle of a sweep, and many more readers.
        waiters.begin_sweep(&mut sweep);
        let late = wait(2000);
        while !sweep.is_done() {
            waiters.wake_some(&mut sweep);
        }

        assert_eq!(wakes.0.load(Ordering::Relaxed), early.len() + late.len());
    }

    #[test]
    fn a_reader_that_has_left_is_not_woken_and_leaves_no_memory_behind() {
        let (waiters, wakes) = (WaiterSet::default(), Arc::new(WakeCounter::default()));
        let (first, second) = (waiters.register(Offset(0), 0), waiters.register(Offset(0), 0));
        first.register_waker(&wakes.clone().into());

        waiters.unregister(&first);
        waiters.wake_all();

        assert_eq!((wakes.0.load(Ordering::Relaxed), Arc::strong_count(&wakes)), (0, 1));
        let again = waiters.register(Offset(0), 0);
        assert!(again.is_same_slot(&first));
        waiters.unregister(&again);
        waiters.unregister(&second);
        assert_eq!(waiters.0.load()[0].chunks(), 0);
    }

    #[test]
    fn the_readers_furthest_behind_come_first() {
        let waiters = WaiterSet::default();
        let register = |number: u64| waiters.register(Offset((number * 37) % 100), (number * 37) % 100);
        assert_eq!(waiters.least_read(), None);
        let all: Vec<_> = (0..100).map(register).collect();
        waiters.unregister(&all[0]);
        assert_eq!(waiters.least_read(), Some(1));

        let found: Vec<_> = waiters.furthest_behind(3).iter().map(|reader| reader.next.0).collect();
        all[99].set_position(Offset(0), 0);

        assert_eq!(found, [1, 2, 3]);
        assert_eq!(waiters.furthest_behind(1)[0].next, Offset(0));
        assert_eq!(waiters.furthest_behind(1000).len(), 99);
        for (most, expected) in [(1000, 99), (99, 99), (98, 50), (10, 10), (1, 1)] {
            let mut asked = 0;
            waiters.sample(most, |_| asked += 1);
            assert_eq!(asked, expected, "of at most {most}");
        }
    }

    #[test]
    fn readers_of_another_worker_are_woken_by_it_with_one_entry_for_many_appends() {
        let (waiters, wakes) = (Arc::new(WaiterSet::default()), Arc::new(WakeCounter::default()));
        let queue = Arc::new(WakeQueue::default());
        let worker = || {
            queue.clone().make_current();
            let slots: Vec<_> = (0..1000).map(|_| waiters.register(Offset(0), 0)).collect();
            slots.iter().for_each(|handle| handle.register_waker(&wakes.clone().into()));
            slots
        };
        let slots = std::thread::scope(|scope| scope.spawn(worker).join().expect("no panic"));

        (0..10).for_each(|_| waiters.wake_all());
        assert_eq!((wakes.0.load(Ordering::Relaxed), queue.len()), (0, 1));

        queue.wake_all();
        assert_eq!((wakes.0.load(Ordering::Relaxed), queue.len()), (1000, 0));
        slots.iter().for_each(|handle| handle.register_waker(&wakes.clone().into()));
        waiters.wake_all();
        queue.wake_all();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2000);
    }

    #[test]
    fn no_append_is_missed_while_a_worker_wakes_its_readers() {
        let (waiters, queue) = (Arc::new(WaiterSet::default()), Arc::new(WakeQueue::default()));
        let appended = Arc::new(AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let reader = {
            let (waiters, appended) = (waiters.clone(), appended.clone());
            async move {
                let handle = waiters.register(Offset(0), 0);
                std::future::poll_fn(|cx| {
                    handle.register_waker(cx.waker());
                    match appended.load(Ordering::Acquire) {
                        APPENDS => std::task::Poll::Ready(()),
                        _ => std::task::Poll::Pending,
                    }
                })
                .await;
            }
        };
        let worker = move || {
            queue.clone().make_current();
            runtime.block_on(async {
                tokio::select! { () = reader => {} () = queue.run() => {} }
            });
        };

        // A reader that misses the last append never ends.
        std::thread::scope(|scope| {
            scope.spawn(worker);
            for _ in 0..APPENDS {
                appended.fetch_add(1, Ordering::Release);
                waiters.wake_all();
            }
        });
    }

    const APPENDS: usize = 10_000;
}
