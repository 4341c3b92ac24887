//! Deadlines that a stalled client cannot stop.
//!
//! hyper polls a response body only while the client takes bytes, so whatever must happen to a client that does not read
//! cannot live in the body. [`supervise`] wraps the future that carries the responses of an HTTP/1 connection; the service
//! inside may [`watch`] it with a guard, and when the guard completes, the connection is dropped and so closed. Does not
//! know why. HTTP/2 asks the body itself (see `exchange`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::runtime::side_waker::SideWaker;

tokio::task_local! {
    static LEASH: AbortSlot;
}

#[derive(Clone, Default)]
struct AbortSlot(Arc<Mutex<Option<Guard>>>);

struct Guard {
    guard: BoxFuture<'static, ()>,
    /// It is not polled for every piece that the response sends.
    aside: SideWaker,
}

/// Wraps `carrier` so that what runs inside it can be watched.
pub fn supervise<F: Future + Unpin>(carrier: F) -> Abortable<F> {
    Abortable { carrier, leash: AbortSlot::default() }
}

/// Has the surrounding supervised future dropped when `guard` completes. A later guard takes an earlier one's place.
pub fn watch(guard: impl Future<Output = ()> + Send + 'static) {
    let is_supervised = LEASH.try_with(|leash| {
        *leash.0.lock() = Some(Guard { guard: Box::pin(guard), aside: SideWaker::default() });
    });
    debug_assert!(is_supervised.is_ok(), "every response is carried by a supervised future");
}

/// See [`supervise`]. Completes with `None` when the guard ended it.
pub struct Abortable<F> {
    carrier: F,
    leash: AbortSlot,
}

impl<F: Future + Unpin> Abortable<F> {
    /// What is carried, to be taken apart.
    pub fn into_inner(self) -> F {
        self.carrier
    }

    /// What is carried.
    pub fn get_mut(&mut self) -> &mut F {
        &mut self.carrier
    }
}

impl<F: Future + Unpin> Future for Abortable<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { carrier, leash } = self.get_mut();
        let carried = LEASH.sync_scope(leash.clone(), || Pin::new(carrier).poll(cx));
        if let Poll::Ready(output) = carried {
            return Poll::Ready(Some(output));
        }
        let mut held = leash.0.lock();
        let Some(waker) = held.as_mut().and_then(|guard| guard.aside.asked(cx).cloned()) else { return Poll::Pending };
        // Taken out while it is polled: the guard may not be locked while it runs.
        let guard = held.take();
        drop(held);
        if let Some(mut guard) = guard {
            if guard.guard.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                return Poll::Ready(None);
            }
            leash.0.lock().get_or_insert(guard);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_carrier_that_never_moves_is_ended_by_its_guard() {
        let carrier = Box::pin(async {
            watch(tokio::time::sleep(Duration::from_millis(1)));
            pending::<()>().await;
        });

        assert_eq!(supervise(carrier).await, None);
    }

    #[tokio::test]
    async fn a_carrier_that_ends_by_itself_does_not_wait_for_its_guard() {
        let carrier = Box::pin(async {
            watch(pending());
            poll_fn(|_| Poll::Ready(7)).await
        });

        assert_eq!(supervise(carrier).await, Some(7));
    }
}
