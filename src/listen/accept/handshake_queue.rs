//! The queue of TLS handshakes that wait for the rate of `limits.handshakes_per_second`.
//!
//! Clients are admitted in turn by owner, and those of one owner in the order of arrival. So a storm from one address
//! delays its own handshakes most, and an address that waits alone may use the whole rate. A waiter that is dropped
//! leaves the queue, and those behind it move up. The rate is the one of [`RateLimiter`](super::RateLimiter).

use std::future::pending;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::rate_limiter::spacing;
use crate::limits::SharedLimits;
use crate::runtime::rotation::Rotation;
use crate::runtime::shares::OnRefusal;
use crate::runtime::token_bucket::TokenBucket;

/// The handshakes that wait.
pub(super) struct HandshakeQueue {
    limits: SharedLimits,
    /// Never held across an await.
    state: Mutex<State>,
    /// Held by the one waiter that sleeps until the next slot and gives it to whoever is next.
    timer: AsyncMutex<()>,
    on_refusal: OnRefusal,
}

/// The owner of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    /// All handshakes of an address (see [`Limits::network`](crate::limits::Limits::network)).
    Address(IpAddr),
    /// A single handshake of a trusted proxy.
    Single(u64),
}

#[derive(Default)]
struct State {
    slots: TokenBucket,
    waiting: Rotation<Owner, oneshot::Sender<()>>,
}

/// The deadline has passed before the handshake's turn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue;

impl HandshakeQueue {
    /// Creates an empty queue. `on_refusal` is called for a handshake that waited in vain beside others of its address.
    pub(super) fn new(limits: SharedLimits, on_refusal: OnRefusal) -> Self {
        Self { limits, state: Mutex::default(), timer: AsyncMutex::new(()), on_refusal }
    }

    /// Waits until one more handshake may begin. Calls `on_wait` first if there is a wait. `None` for `address` is a
    /// handshake that counts for no address.
    ///
    /// Cancel-safe: a waiter that is dropped leaves the queue.
    ///
    /// # Errors
    /// [`Overdue`] at `deadline`.
    pub(super) async fn acquire(
        &self,
        address: Option<IpAddr>,
        deadline: Instant,
        on_wait: impl FnOnce(),
    ) -> Result<(), Overdue> {
        let (mut waiter, admitted) = {
            let mut state = self.state.lock();
            if state.waiting.is_empty() && state.take_slot(Instant::now(), self.per_second()).is_ok() {
                return Ok(());
            }
            let (sender, admitted) = oneshot::channel();
            let (owner, number) = state.enqueue(address, sender);
            (Waiter { queue: self, owner, number, is_waiting: true }, admitted)
        };
        on_wait();
        let outcome = timeout_at(deadline, async {
            tokio::select! {
                biased;
                _ = admitted => {}
                () = self.give_slots() => {}
            }
        })
        .await;
        if outcome.is_err() {
            if self.state.lock().waiting.items_of(&waiter.owner) > 1 {
                (self.on_refusal)();
            }
            return Err(Overdue);
        }
        // The slot is used, so it is not returned.
        waiter.is_waiting = false;
        Ok(())
    }

    /// Gives slots to waiters as they become due, once no other waiter does so. Never completes: the waiter that is
    /// doing this is admitted as well, and leaves it to another.
    async fn give_slots(&self) {
        let _timer = self.timer.lock().await;
        loop {
            let outcome = {
                let mut state = self.state.lock();
                if state.waiting.is_empty() {
                    break;
                }
                state.take_slot(Instant::now(), self.per_second()).map(|()| state.admit_next())
            };
            if let Err(due) = outcome {
                sleep_until(due).await;
            }
        }
        pending().await
    }

    fn per_second(&self) -> u32 {
        self.limits.load().handshakes_per_second
    }
}

impl State {
    /// Takes the next slot.
    ///
    /// # Errors
    /// Returns the time from which there is one.
    fn take_slot(&mut self, now: Instant, per_second: u32) -> Result<(), Instant> {
        self.slots.take(spacing(per_second), now, Duration::ZERO).map(drop).map_err(|wait| now + wait)
    }

    /// Returns a slot that was taken and not used.
    fn return_slot(&mut self, per_second: u32) {
        self.slots.put_back(spacing(per_second).interval);
    }

    fn enqueue(&mut self, address: Option<IpAddr>, sender: oneshot::Sender<()>) -> (Owner, u64) {
        let number = self.waiting.next_number();
        let owner = address.map_or(Owner::Single(number), Owner::Address);
        self.waiting.add(&owner, number, sender);
        (owner, number)
    }

    /// Admits the first waiter of the next owner, whose next turn then comes after all others'.
    fn admit_next(&mut self) {
        if let Some((_, sender)) = self.waiting.pop() {
            // A waiter that has gone meanwhile returns the slot itself.
            let _ = sender.send(());
        }
    }
}

/// One handshake in the queue. Dropping it removes it, or returns the slot that it was given and did not use.
struct Waiter<'q> {
    queue: &'q HandshakeQueue,
    owner: Owner,
    number: u64,
    is_waiting: bool,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.is_waiting {
            let per_second = self.queue.per_second();
            let mut state = self.queue.state.lock();
            if state.waiting.remove(&self.owner, self.number).is_none() {
                state.return_slot(per_second);
            }
        }
    }
}

impl std::fmt::Debug for HandshakeQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeQueue").field("owners", &self.state.lock().waiting.owners()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use arc_swap::ArcSwap;
    use futures_util::FutureExt;
    use futures_util::future::{join_all, select_all};

    use super::*;
    use crate::config::default_limits;
    use crate::limits::Limits;

    fn queue(handshakes_per_second: u32) -> (HandshakeQueue, Arc<AtomicUsize>) {
        let limits = Limits { handshakes_per_second, ..default_limits() };
        let refused = Arc::new(AtomicUsize::new(0));
        let counted = refused.clone();
        let on_refusal: OnRefusal = Arc::new(move || _ = counted.fetch_add(1, Ordering::Relaxed));
        (HandshakeQueue::new(Arc::new(ArcSwap::from_pointee(limits)), on_refusal), refused)
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn in_seconds(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_waits_alone_has_the_whole_rate() {
        let (queue, refused) = queue(100);
        let start = Instant::now();

        let all = join_all((0..500).map(|_| queue.acquire(address(1), in_seconds(10), || ()))).await;

        assert!(all.iter().all(Result::is_ok));
        assert!((4900..=5000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        assert_eq!(refused.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_with_few_handshakes_does_not_wait_for_one_with_many() {
        let (queue, refused) = queue(100);
        let start = Instant::now();
        let storm = join_all((0..5000).map(|_| queue.acquire(address(1), in_seconds(10), || ())));
        let modest = async {
            let all = join_all((0..10).map(|_| queue.acquire(address(2), in_seconds(10), || ()))).await;
            (all.iter().all(Result::is_ok), start.elapsed())
        };

        let (storm, (is_served, after)) = tokio::join!(storm, modest);

        assert!(is_served && after < Duration::from_millis(300), "{after:?}");
        let served = storm.iter().filter(|outcome| outcome.is_ok()).count();
        assert!((980..=1000).contains(&served), "{served}");
        let last_of_all = 1;
        assert_eq!(refused.load(Ordering::Relaxed), 5000 - served - last_of_all);
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_move_up_when_those_before_them_leave() {
        let (queue, _) = queue(10);
        queue.acquire(address(1), in_seconds(1), || ()).await.expect("the first slot");
        let mut storm: Vec<_> = (0..1000).map(|_| queue.acquire(address(1), in_seconds(1000), || ()).boxed()).collect();
        assert!(select_all(&mut storm).now_or_never().is_none());
        let start = Instant::now();
        let honest = queue.acquire(address(1), in_seconds(10), || ());
        let mut honest = std::pin::pin!(honest);
        assert!(futures_util::poll!(&mut honest).is_pending());

        drop(storm);

        assert_eq!(honest.await, Ok(()));
        assert!(start.elapsed() <= Duration::from_millis(100), "{:?}", start.elapsed());
        assert!(queue.state.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_of_trusted_proxies_each_have_a_turn() {
        let (queue, _) = queue(100);
        let start = Instant::now();
        let storm = join_all((0..1000).map(|_| queue.acquire(address(1), in_seconds(20), || ())));
        let proxied = async {
            join_all((0..50).map(|_| queue.acquire(None, in_seconds(20), || ()))).await;
            start.elapsed()
        };

        let (_, after) = tokio::join!(storm, proxied);

        assert!(after <= Duration::from_secs(1), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_admitted_waiter_that_is_dropped_returns_its_slot() {
        let (queue, _) = queue(1);
        queue.acquire(address(1), in_seconds(1), || ()).await.expect("the first slot");
        {
            let mut waiting = std::pin::pin!(queue.acquire(address(1), in_seconds(10), || ()));
            assert!(futures_util::poll!(&mut waiting).is_pending());
            tokio::time::advance(Duration::from_secs(1)).await;
            let mut state = queue.state.lock();
            assert_eq!(state.take_slot(Instant::now(), 1), Ok(()));
            state.admit_next();
        }

        let start = Instant::now();
        assert_eq!(queue.acquire(address(2), in_seconds(10), || ()).await, Ok(()));
        assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
    }
}
