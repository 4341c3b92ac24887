//! The queue of tasks that have used up their turn and wait for the next one.
//!
//! Each thread has a queue, in which owners alternate and the tasks of one owner are served in the order in which they came.
//! One task of it runs between two looks of the worker at its sockets and timers, however many wait. So a hundred tasks with
//! much to do delay a new connection, a timer or an event for an honest client by one turn and not by a hundred, and a task
//! of another owner by one turn of each owner. The queue knows nothing of the work; a turn's length is up to the task.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

use super::rotation::Rotation;
use super::turn_owner::TurnOwner;

/// Waits for the next turn of this task, which is one of `owner`. Cancel-safe.
pub async fn next_turn(owner: &TurnOwner) {
    let mut turn = QueuedTurn::new(owner.clone());
    poll_fn(|cx| turn.poll(cx)).await;
}

/// The wait of one task for its next turn.
///
/// Whoever polls it must poll it again when woken, or drop it: until then, those behind it in the queue do not run.
#[derive(Debug)]
pub struct QueuedTurn {
    owner: TurnOwner,
    place: Option<Arc<Place>>,
}

impl QueuedTurn {
    /// Prepares a wait for turns of `owner`.
    pub fn new(owner: TurnOwner) -> Self {
        Self { owner, place: None }
    }

    /// Returns true from the first poll until the turn has come.
    pub fn is_waiting(&self) -> bool {
        self.place.is_some()
    }

    /// Joins the queue of this thread at the first poll. Completes when it is this task's turn; the next poll joins again.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(place) = &self.place else {
            let (place, is_first) = QUEUE.with(|queue| queue.join(&self.owner, cx.waker()));
            self.place = Some(place.clone());
            if is_first {
                place.defer_grant();
            }
            return Poll::Pending;
        };
        place.task.register(cx.waker());
        if !place.is_granted.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        if let Some(next) = self.leave() {
            // Not before the worker has looked at its sockets and timers again.
            next.defer_grant();
        }
        Poll::Ready(())
    }

    /// Leaves the queue. Returns the next place if this one was the first.
    fn leave(&mut self) -> Option<Arc<Place>> {
        let place = self.place.take()?;
        place.queue.leave(&place)
    }
}

impl Drop for QueuedTurn {
    fn drop(&mut self) {
        if let Some(next) = self.leave() {
            // Not deferred: tasks may also be dropped while the runtime wakes what was deferred.
            next.grant();
        }
    }
}

/// A place in a queue. Its waker grants the turn.
#[derive(Debug)]
struct Place {
    number: u64,
    owner: TurnOwner,
    /// The queue of the thread on which the task joined.
    queue: TurnQueue,
    is_granted: AtomicBool,
    task: AtomicWaker,
}

impl Place {
    fn grant(&self) {
        self.is_granted.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Grants the turn after the worker has looked at its sockets and timers.
    ///
    /// A task that wakes itself is queued at once, and would run some 60 times before the worker looks. `yield_now` hands
    /// its waker to the worker, which wakes it after that.
    fn defer_grant(self: Arc<Self>) {
        let waker = Waker::from(self);
        // Pending at the first poll, which has registered the waker.
        let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
    }
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.grant();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.grant();
    }
}

/// The queue of a thread. Cheap to clone. Shared, because a task may be dropped on another thread.
///
/// The lock guards the places. It is held for a few steps, never across an await, and not while anything is woken. It is
/// one of the standard library, because threads outlive what a scheduler of tests knows.
#[derive(Clone, Debug, Default)]
struct TurnQueue(Arc<Mutex<Places>>);

#[derive(Debug, Default)]
struct Places {
    /// The place that has the turn or is about to get it.
    current: Option<u64>,
    waiting: Rotation<TurnOwner, Arc<Place>>,
}

thread_local! {
    static QUEUE: TurnQueue = TurnQueue::default();
}

impl TurnQueue {
    /// Takes the last place of `owner` for the task of this waker. Returns true if it is the only one, and so the current
    /// one.
    fn join(&self, owner: &TurnOwner, task: &Waker) -> (Arc<Place>, bool) {
        let waker = AtomicWaker::new();
        waker.register(task);
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = places.waiting.next_number();
        let (queue, is_granted) = (self.clone(), AtomicBool::new(false));
        let place = Place { number, owner: owner.clone(), queue, is_granted, task: waker };
        let place = Arc::new(place);
        let is_first = places.current.is_none();
        if is_first {
            places.current = Some(number);
        } else {
            places.waiting.add(owner, number, place.clone());
        }
        (place, is_first)
    }

    /// Gives up a place. If it was the current one, the next one is, and is returned.
    fn leave(&self, place: &Place) -> Option<Arc<Place>> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.current != Some(place.number) {
            places.waiting.remove(&place.owner, place.number);
            return None;
        }
        let (number, next) = places.waiting.pop().unzip();
        places.current = number;
        next
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;
    use crate::runtime::tasks::Tasks;

    fn route(name: &str) -> TurnOwner {
        TurnOwner::Route(name.into())
    }

    async fn next_turn_of_one() {
        next_turn(&route("one")).await;
    }

    /// Returns the number of turns that tasks with endless work took while a timer of 1 ms waited to be polled.
    #[expect(clippy::disallowed_methods, reason = "the work of the test")]
    async fn turns_before_a_timer<W>(tasks: usize, wait: fn() -> W) -> usize
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let (running, turns) = (Tasks::default(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..tasks {
            let turns = turns.clone();
            running.spawn("working", async move {
                // The end of the test, if the timer never runs.
                while turns.fetch_add(1, Ordering::Relaxed) < 1000 {
                    std::thread::sleep(Duration::from_millis(1));
                    wait().await;
                }
            });
        }
        while turns.load(Ordering::Relaxed) < tasks {
            tokio::task::yield_now().await;
        }

        let before = turns.load(Ordering::Relaxed);
        sleep(Duration::from_millis(1)).await;
        turns.load(Ordering::Relaxed) - before
    }

    #[tokio::test]
    async fn a_timer_waits_for_a_few_turns_and_not_for_those_of_all_tasks() {
        let queued = turns_before_a_timer(30, next_turn_of_one).await;
        let yielding = turns_before_a_timer(30, tokio::task::yield_now).await;

        assert!(queued < 10 && yielding > 20, "{queued}, {yielding}");
    }

    #[tokio::test]
    async fn turns_come_in_the_order_of_the_queue() {
        let (tasks, order) = (Tasks::default(), Arc::new(Mutex::new(Vec::new())));
        for number in 0..3 {
            let order = order.clone();
            tasks.spawn("waiting", async move {
                for _ in 0..2 {
                    next_turn(&route("one")).await;
                    order.lock().unwrap().push(number);
                }
            });
        }

        while order.lock().unwrap().len() < 6 {
            tokio::task::yield_now().await;
        }

        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 0, 1, 2]);
    }

    #[tokio::test]
    async fn owners_alternate_however_many_tasks_each_has() {
        let (tasks, order) = (Tasks::default(), Arc::new(Mutex::new(Vec::new())));
        for number in 0..20 {
            let (order, owner) = (order.clone(), if number < 19 { "many" } else { "few" });
            tasks.spawn("waiting", async move {
                for _ in 0..5 {
                    next_turn(&route(owner)).await;
                    order.lock().unwrap().push(owner);
                }
            });
        }

        while order.lock().unwrap().len() < 100 {
            tokio::task::yield_now().await;
        }

        let order = order.lock().unwrap();
        let last = order.iter().rposition(|owner| *owner == "few").unwrap();
        // A task joins again when the next turn has been given.
        assert!(last < 20, "{order:?}");
    }

    #[tokio::test]
    async fn a_task_that_gives_up_its_place_holds_up_nobody() {
        let cx = &mut Context::from_waker(Waker::noop());
        let [mut first, mut second, mut third] = std::array::from_fn(|_| QueuedTurn::new(route("one")));
        for turn in [&mut first, &mut second, &mut third] {
            assert!(turn.poll(cx).is_pending());
        }

        drop(second);
        drop(first);

        assert!(third.is_waiting());
        assert!(third.poll(cx).is_ready());
        assert!(!third.is_waiting());
    }

    #[tokio::test]
    async fn a_task_that_is_woken_by_something_else_goes_on_waiting() {
        let cx = &mut Context::from_waker(Waker::noop());
        let [mut first, mut second] = std::array::from_fn(|_| QueuedTurn::new(route("one")));
        assert!(first.poll(cx).is_pending() && second.poll(cx).is_pending());

        assert!(first.poll(cx).is_pending() && second.poll(cx).is_pending());
        tokio::task::yield_now().await;
        assert!(second.poll(cx).is_pending());
        assert!(first.poll(cx).is_ready());
        assert!(second.poll(cx).is_pending());
        tokio::task::yield_now().await;

        assert!(second.poll(cx).is_ready());
    }

    #[test]
    fn a_place_may_be_given_up_on_another_thread() {
        let cx = &mut Context::from_waker(Waker::noop());
        let [mut first, mut second] = std::array::from_fn(|_| QueuedTurn::new(route("one")));
        assert!(first.poll(cx).is_pending() && second.poll(cx).is_pending());

        std::thread::spawn(move || drop(first)).join().unwrap();

        assert!(second.poll(cx).is_ready());
    }
}
